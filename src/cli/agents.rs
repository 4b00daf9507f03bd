//! `dsmil agents`: list, show, run, restart, predict.
use crate::api::learner::Question;
use crate::cli::args::AgentsCommand;
use crate::cli::document::one_step;
use crate::cli::fail::Failure;
use crate::cli::render;
use crate::cli::shell::Shell;
use crate::cli::submit::hand_in;

pub fn agents(shell: &Shell, command: AgentsCommand) -> Result<(), Failure> {
    match command {
        AgentsCommand::List { state } => {
            let mut agents = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.agents().await?) })?;
            if let Some(state) = state {
                agents.agents.retain(|agent| agent.state.as_str() == state);
            }
            shell.show(&agents, |agents, style| render::agent::list(&agents.agents, style))
        }
        AgentsCommand::Show { agent } => {
            let agent = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.agent(&agent).await?) })?;
            shell.show(&agent, render::agent::show)
        }
        AgentsCommand::Run { agent, tool, input } => {
            hand_in(shell, &one_step(&agent.to_ascii_uppercase(), tool.as_deref(), input), true, None)
        }
        AgentsCommand::Predict { task, context, top } => {
            let question = Question { task, context: context.into_iter().collect() };
            let prediction = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.predict(&question).await?) })?;
            shell.show(&prediction, |prediction, style| render::prediction::show(prediction, top, style))
        }
        AgentsCommand::Restart { agent } => {
            let answer = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.restart(&agent).await?) })?;
            shell.show(&answer, |answer, _| format!("{} is {}\n", answer.agent_id, answer.status))
        }
        AgentsCommand::Drill { agent, fault } => {
            let answer = shell
                .wait_for(async { Ok::<_, Failure>(shell.client()?.drill_agent(&agent, &fault.into()).await?) })?;
            shell.show(&answer, |answer, _| format!("{} was told to fail\n", answer.agent_id))
        }
    }
}
