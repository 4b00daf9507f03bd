//! `dsmil tools`: list, show, and run one as an agent.
use crate::cli::args::ToolsCommand;
use crate::cli::document::one_step;
use crate::cli::fail::Failure;
use crate::cli::render;
use crate::cli::shell::Shell;
use crate::cli::submit::hand_in;

pub fn tools(shell: &Shell, command: ToolsCommand) -> Result<(), Failure> {
    match command {
        ToolsCommand::List { all } => {
            let mut tools = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.tools().await?) })?;
            let named = tools.tools.len();
            tools.tools.retain(|tool| all || tool.built);
            let hidden = named - tools.tools.len();
            if hidden > 0 {
                shell.say(&format!("{hidden} tools without code in this release are left out; --all shows them"));
            }
            shell.show(&tools, |tools, style| render::tool::list(&tools.tools, style))
        }
        ToolsCommand::Show { tool } => {
            let tool = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.tool(&tool).await?) })?;
            shell.show(&tool, render::tool::show)
        }
        ToolsCommand::Run { tool, agent, input } => {
            let agent = match agent {
                Some(agent) => agent.to_ascii_uppercase(),
                None => first_holder(shell, &tool)?,
            };
            hand_in(shell, &one_step(&agent, Some(&tool), input), true, None)
        }
    }
}

fn first_holder(shell: &Shell, tool: &str) -> Result<String, Failure> {
    let found = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.tool(tool).await?) })?;
    let holder = found.agents.first().ok_or_else(|| Failure::failed(format!("no agent holds the tool `{tool}`")))?;
    shell.say(&format!("as {holder}"));
    Ok(holder.to_string())
}
