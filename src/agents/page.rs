//! The page for people about all agents (docs/agents.md), written from the catalog so that it cannot go stale.
use std::collections::BTreeSet;

use crate::agents::catalog::Catalog;
use crate::agents::profile::{AgentProfile, Group, Policy, Words};
use crate::ids::ToolId;
use crate::toolkit::duration;

const HEAD: &str = "\
# Agents

<!-- Written from config/agents by `UPDATE_DOCS=1 cargo test --test it roster`; edit the agents' files instead. -->

An agent is one Markdown file in `config/agents`: front matter that says who it is and which tools it holds, and
instructions. Eighty files, one actor type. Each file is also a valid Claude Code subagent.
";

/// Renders the page. `built` holds the tools that this release has code for.
pub fn markdown(catalog: &Catalog, built: &BTreeSet<ToolId>) -> String {
    let mut page = String::from(HEAD);
    let granted: BTreeSet<&ToolId> = catalog.iter().flat_map(|agent| &agent.tools).collect();
    let usable = granted.iter().filter(|tool| built.contains(**tool)).count();
    page.push_str(&format!(
        "\n{} agents hold {} tools, of which {usable} are built in this release. A tool marked \\* is not built yet: a call \
         of it answers `unavailable` with the reason `not_built`, which lowers the coverage of a run and does not fail \
         it. The first tool of an agent is its default.\n",
        catalog.len(),
        granted.len(),
    ));
    page.push_str("\n| Policy | What the agent may do on its own |\n|---|---|\n");
    for &policy in Policy::ALL {
        page.push_str(&format!("| `{}` | {} |\n", policy.word(), meaning(policy)));
    }
    for &group in Group::ALL {
        let domains: BTreeSet<&str> = members(catalog, group).map(|agent| agent.domain.as_str()).collect();
        if !domains.is_empty() {
            page.push_str(&format!("\n## Group `{}`\n", group.word()));
        }
        for domain in domains {
            page.push_str(&format!(
                "\n### Domain `{domain}`\n\n| Agent | When to use it | Tools | Policy | Criticality | Timeout |\n\
                 |---|---|---|---|---|---|\n"
            ));
            for agent in members(catalog, group).filter(|agent| agent.domain == domain) {
                page.push_str(&row(agent, built));
            }
        }
    }
    page
}

fn members(catalog: &Catalog, group: Group) -> impl Iterator<Item = &AgentProfile> {
    catalog.iter().map(AsRef::as_ref).filter(move |agent| agent.group == group)
}

fn row(agent: &AgentProfile, built: &BTreeSet<ToolId>) -> String {
    let tools = agent.tools.iter().map(|tool| {
        let mark = if built.contains(tool) { "" } else { "\\*" };
        format!("`{tool}`{mark}")
    });
    format!(
        "| {} | {} | {} | `{}` | {} | {} |\n",
        agent.id,
        // A bar would end the cell.
        agent.description.replace('|', "\\|"),
        tools.collect::<Vec<_>>().join(", "),
        agent.policy.word(),
        agent.criticality.word(),
        duration::show(agent.timeout),
    )
}

fn meaning(policy: Policy) -> &'static str {
    match policy {
        Policy::Ro => "Reads only.",
        Policy::Prop => "Proposes changes; a person or an approved playbook lets it carry them out.",
        Policy::Auto => "Acts by itself within the limits of its tools.",
        Policy::Cp => "Acts on the control plane alone, never on the host.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_marks_what_is_not_built_and_keeps_its_cells() {
        let text = "---\nname: pacer\ndescription: Use it | or not.\ndsmil: { group: core, domain: command, policy: ro, \
                    criticality: normal, timeout: 90s, tools: [load.read, power.read] }\n---\nRead.\n";
        let known: BTreeSet<ToolId> = ["load.read", "power.read"].map(|id| ToolId::new(id).unwrap()).into();
        let catalog = Catalog::from_files([("pacer.md".to_owned(), text.to_owned())].into_iter(), &known).unwrap();
        let built = [ToolId::new("load.read").unwrap()].into();
        let page = markdown(&catalog, &built);
        let row = "| PACER | Use it \\| or not. | `load.read`, `power.read`\\* | `ro` | normal | 1m30s |\n";
        assert!(page.ends_with(row), "{page}");
        assert!(page.contains("1 agents hold 2 tools, of which 1 are built"));
        assert!(!page.contains("## Group `hardware`"), "no heading without agents");
    }
}
