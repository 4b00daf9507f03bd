//! The supervision tree, drawn with spaces and bars.
use crate::api::supervision::Node;
use crate::cli::render::table::{Style, Tone, clean, line};

/// Of children that come and go, those that are drawn though they are well.
const FEW: usize = 5;

pub fn tree(root: &Node, style: Style) -> String {
    let mut out = String::new();
    draw(root, "", "", style, &mut out);
    let (up, all) = workers(root);
    line(&mut out, format_args!("\n{up} of {all} workers up"));
    out
}

fn draw(node: &Node, first: &str, rest: &str, style: Style, out: &mut String) {
    line(out, format_args!("{first}{}", style.paint(tone(node), &describe(node))));
    let (shown, folded) = folded(node);
    let last = if folded > 0 { shown.len() } else { shown.len().saturating_sub(1) };
    for (nth, child) in shown.into_iter().enumerate() {
        let (branch, below) = if nth == last { ("`- ", "   ") } else { ("|- ", "|  ") };
        draw(child, &format!("{rest}{branch}"), &format!("{rest}{below}"), style, out);
    }
    if folded > 0 {
        line(out, format_args!("{rest}`- and {folded} more"));
    }
}

/// Of children that come and go there may be thousands: all that are in trouble are drawn, and a few of the others.
fn folded(node: &Node) -> (Vec<&Node>, usize) {
    if node.strategy.as_deref() != Some("dynamic") {
        return (node.children.iter().collect(), node.more);
    }
    let mut quiet = 0;
    let is_shown = |child: &&Node| {
        quiet += usize::from(child.state == "up");
        child.state != "up" || quiet <= FEW
    };
    let shown: Vec<&Node> = node.children.iter().filter(is_shown).collect();
    let left_out = node.children.len() - shown.len();
    (shown, left_out + node.more)
}

fn describe(node: &Node) -> String {
    let mut text = clean(&node.name);
    if let Some(label) = &node.label {
        text.push_str(&format!(" ({})", clean(label)));
    }
    if let Some(strategy) = &node.strategy {
        text.push_str(&format!(" ({strategy})"));
    }
    text.push_str(&format!("  {}", node.state));
    if node.restarts > 0 {
        text.push_str(&format!("  restarts {} ({} in window)", node.restarts, node.restarts_in_window));
    }
    if node.queue > 0 {
        text.push_str(&format!("  queue {}", node.queue));
    }
    if let Some(busy) = node.busy.filter(|busy| *busy >= 0.005) {
        text.push_str(&format!("  busy {:.0} %", busy * 100.0));
    }
    if node.lost_threads > 0 {
        let arbiter = clean(node.arbiter.as_deref().unwrap_or("its arbiter"));
        text.push_str(&format!("  threads lost by {arbiter}: {}", node.lost_threads));
    }
    if let Some(breaker) = node.breaker.as_ref().filter(|breaker| breaker.state != "closed") {
        let retry = breaker.retry_after_s.map(|s| format!(", retry after {s:.0} s")).unwrap_or_default();
        text.push_str(&format!("  breaker {}{retry}", breaker.state));
    }
    if let Some(exit) = &node.last_exit {
        text.push_str(&format!("  last exit: {}", clean(exit)));
    }
    text
}

fn tone(node: &Node) -> Tone {
    match node.state.as_str() {
        "up" => Tone::Plain,
        "down" | "open" => Tone::Bad,
        _ => Tone::Warning,
    }
}

fn workers(node: &Node) -> (usize, usize) {
    let own = if node.kind == "worker" { (usize::from(node.state == "up"), 1) } else { (0, 0) };
    node.children.iter().map(workers).fold(own, |(up, all), (more_up, more)| (up + more_up, all + more))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, kind: &str, state: &str, children: Vec<Node>) -> Node {
        Node {
            name: name.into(),
            kind: kind.into(),
            strategy: (kind == "supervisor").then(|| "one_for_one".into()),
            state: state.into(),
            epoch: 1,
            restarts_in_window: 0,
            restarts: 0,
            breaker: None,
            queue: 0,
            last_exit: None,
            arbiter: Some("agents-1".into()),
            busy: Some(0.0),
            lost_threads: 0,
            label: None,
            children,
            more: 0,
        }
    }

    #[test]
    fn the_tree_shows_who_is_down_and_why() {
        let mut fallen = node("PATCHER", "worker", "restarting", Vec::new());
        fallen.restarts = 2;
        fallen.restarts_in_window = 1;
        fallen.last_exit = Some("panic: drill".into());
        fallen.lost_threads = 1;
        let pacer = Node { busy: Some(0.42), ..node("PACER", "worker", "up", Vec::new()) };
        let agents = node("agents-1", "supervisor", "up", vec![pacer, fallen]);
        let root = node("root", "supervisor", "up", vec![agents, node("store", "worker", "up", Vec::new())]);
        let expected = "\
root (one_for_one)  up
|- agents-1 (one_for_one)  up
|  |- PACER  up  busy 42 %
|  `- PATCHER  restarting  restarts 2 (1 in window)  threads lost by agents-1: 1  last exit: panic: drill
`- store  up

2 of 3 workers up
";
        assert_eq!(tree(&root, Style::default()), expected);
    }

    #[test]
    fn of_many_that_come_and_go_a_few_are_drawn_and_all_that_are_in_trouble() {
        let mut sessions: Vec<Node> = (1..=9).map(|n| node(&format!("s-{n}"), "guest", "up", Vec::new())).collect();
        sessions[0].label = Some("eyes".into());
        sessions[8].state = "down".into();
        let mut crowd = node("sessions", "supervisor", "up", sessions);
        crowd.strategy = Some("dynamic".into());
        crowd.more = 10;
        let expected = "\
sessions (dynamic)  up
|- s-1 (eyes)  up
|- s-2  up
|- s-3  up
|- s-4  up
|- s-5  up
|- s-9  down
`- and 13 more

0 of 0 workers up
";
        assert_eq!(tree(&crowd, Style::default()), expected);
    }
}
