//! Who should do a task: for each agent a Beta posterior over success, from its description and from past runs near the
//! task, each of which counts by its similarity and its age; chosen is the highest mean plus what may be learned.
//!
//! ```text
//! prior    n0 pseudo-runs with mean sigmoid(b0 + b1 cos(task, description)), kept between two bounds
//! weight   min(1, ((s - s0)/(1 - s0))^gamma / full) * 2^(-age/half-life)       s: similarity of a past run
//! alpha    n0 mean + sum of weights of successes        beta  n0 (1 - mean) + sum of weights of failures
//! choice   highest mean + c sd - lambda cost            cost  log(median time / budget), at least 0
//! ```
//! No randomness: the same knowledge gives the same answer.
use crate::ids::{AgentId, ToolId};
use crate::learning::card::Card;
use crate::learning::embed::Vector;

/// Runs of one agent with one tool on one task text within an hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    pub agent: AgentId,
    pub tool: ToolId,
    /// Cosine of its text and the task.
    pub similarity: f64,
    pub age_days: f64,
    pub successes: u32,
    pub failures: u32,
    pub execution_time_ms: u32,
}

/// The numbers of the rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// A past run that is no more similar than this counts nothing.
    pub s0: f64,
    pub gamma: f64,
    /// From here on the similarity counts in full.
    pub full: f64,
    pub half_life_days: f64,
    pub b0: f64,
    pub b1: f64,
    pub prior_bounds: (f64, f64),
    pub n0: f64,
    pub c: f64,
    pub lambda: f64,
    pub budget_ms: f64,
    /// Of the lower bound.
    pub z: f64,
    /// Nobody is chosen while no agent's lower bound reaches this.
    pub confident: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            s0: 0.25,
            gamma: 2.0,
            full: 0.35,
            half_life_days: 14.0,
            b0: -4.4,
            b1: 12.0,
            prior_bounds: (0.05, 0.8),
            n0: 2.0,
            c: 1.0,
            lambda: 0.05,
            budget_ms: 10_000.0,
            z: 1.64,
            confident: 0.2,
        }
    }
}

/// Past runs older than this many half-lives weigh less than a thirtieth.
pub const HALF_LIVES: f64 = 5.0;
/// The past runs that are told as reasons.
const MOST_REASONS: usize = 5;

/// The answer. `agent` is none when nobody is confident; the other figures are then those of who came nearest.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    pub agent: Option<AgentId>,
    /// Expected chance of success.
    pub confidence: f64,
    /// The chance is above this with 95 %.
    pub lower: f64,
    /// How many runs the past ones together weigh.
    pub n_eff: f64,
    /// Another agent has the higher confidence; this one was chosen since less is known of it.
    pub explored: bool,
    pub reasons: Vec<String>,
    /// All that were considered, first who would be chosen first.
    pub ranking: Vec<Ranked>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    pub agent: AgentId,
    pub confidence: f64,
    pub lower: f64,
    pub n_eff: f64,
    /// By which the list is sorted.
    pub score: f64,
}

/// Ranks the agents of `cards`; past runs of others are left aside.
pub fn rank(task: &Vector, cards: &[&Card], neighbours: &[Neighbour], rules: &Rules) -> Ranking {
    let mut all: Vec<_> = cards.iter().map(|card| Arm::of(card, task, neighbours, rules)).collect();
    // The prior has a ceiling: of those that reach it the nearest comes first.
    all.sort_by(|a, b| {
        let by_score = b.ranked.score.total_cmp(&a.ranked.score);
        by_score.then_with(|| b.similarity.total_cmp(&a.similarity)).then_with(|| a.ranked.agent.cmp(&b.ranked.agent))
    });
    let Some(first) = all.first() else {
        let reasons = vec!["there is no agent to choose from".to_owned()];
        return Ranking {
            agent: None,
            confidence: 0.0,
            lower: 0.0,
            n_eff: 0.0,
            explored: false,
            reasons,
            ranking: Vec::new(),
        };
    };
    let surest = all.iter().map(|arm| arm.ranked.lower).fold(0.0, f64::max);
    let best = all.iter().max_by(|a, b| a.ranked.confidence.total_cmp(&b.ranked.confidence)).unwrap_or(first);
    let explored = best.ranked.confidence > first.ranked.confidence;
    let mut reasons = first.reasons(neighbours, rules);
    let confident = surest >= rules.confident;
    if !confident {
        let text = format!(
            "no agent is confident: the surest lower bound is {surest:.2}, and {:.2} is needed; {} came nearest",
            rules.confident, first.ranked.agent
        );
        reasons.insert(0, text);
    } else if explored {
        let text = format!(
            "tried to learn more of it: {} has the higher confidence so far, {:.2}",
            best.ranked.agent, best.ranked.confidence
        );
        reasons.insert(0, text);
    }
    let Ranked { agent, confidence, lower, n_eff, .. } = first.ranked.clone();
    Ranking {
        agent: confident.then_some(agent),
        confidence,
        lower,
        n_eff,
        explored: confident && explored,
        reasons,
        ranking: all.into_iter().map(|arm| arm.ranked).collect(),
    }
}

/// What the past runs of one agent near the task come to.
struct Arm {
    ranked: Ranked,
    similarity: f64,
    prior: f64,
    succeeded: f64,
}

impl Arm {
    fn of(card: &Card, task: &Vector, neighbours: &[Neighbour], rules: &Rules) -> Self {
        let similarity = task.cosine(&card.vector);
        let (low, high) = rules.prior_bounds;
        let prior = (1.0 / (1.0 + (-(rules.b0 + rules.b1 * similarity)).exp())).clamp(low, high);
        let (mut succeeded, mut failed, mut times) = (0.0, 0.0, Vec::new());
        for past in neighbours.iter().filter(|past| past.agent == card.agent) {
            let weight = weight(past, rules);
            succeeded += weight * f64::from(past.successes);
            failed += weight * f64::from(past.failures);
            if weight > 0.0 {
                times.push(past.execution_time_ms);
            }
        }
        let (alpha, beta) = (rules.n0 * prior + succeeded, rules.n0 * (1.0 - prior) + failed);
        let n = alpha + beta;
        let mean = alpha / n;
        let sd = (mean * (1.0 - mean) / (n + 1.0)).sqrt();
        let cost = (median(&mut times).max(1.0) / rules.budget_ms).ln().max(0.0);
        let ranked = Ranked {
            agent: card.agent.clone(),
            confidence: mean,
            lower: wilson_lower(mean, n, rules.z),
            n_eff: succeeded + failed,
            score: mean + rules.c * sd - rules.lambda * cost,
        };
        Arm { ranked, similarity, prior, succeeded }
    }

    fn reasons(&self, neighbours: &[Neighbour], rules: &Rules) -> Vec<String> {
        let mut reasons = vec![format!(
            "its description is near the task by {:.2}, which alone makes a chance of {:.2}",
            self.similarity, self.prior
        )];
        let n_eff = self.ranked.n_eff;
        if n_eff <= 0.0 {
            reasons.push("no past run of it is near the task".to_owned());
            return reasons;
        }
        reasons.push(format!(
            "past runs near the task weigh {n_eff:.1}, of which {:.0} % succeeded",
            100.0 * self.succeeded / n_eff
        ));
        let runs = |past: &Neighbour| f64::from(past.successes) + f64::from(past.failures);
        let heavy = |past: &Neighbour| weight(past, rules) * runs(past);
        let mut own: Vec<_> = neighbours.iter().filter(|past| past.agent == self.ranked.agent).collect();
        own.sort_by(|a, b| heavy(b).total_cmp(&heavy(a)));
        for past in own.into_iter().filter(|past| heavy(past) > 0.0).take(MOST_REASONS) {
            reasons.push(format!(
                "{} {}, near by {:.2}: {} of {} succeeded",
                past.tool,
                ago(past.age_days),
                past.similarity,
                past.successes,
                past.successes + past.failures
            ));
        }
        reasons
    }
}

/// What one past run counts.
pub fn weight(past: &Neighbour, rules: &Rules) -> f64 {
    let near = ((past.similarity - rules.s0) / (1.0 - rules.s0)).max(0.0);
    (near.powf(rules.gamma) / rules.full).min(1.0) * (-past.age_days.max(0.0) / rules.half_life_days).exp2()
}

/// The lower end of Wilson's interval for `n` runs of which the share `mean` succeeded.
pub fn wilson_lower(mean: f64, n: f64, z: f64) -> f64 {
    let z2 = z * z;
    let middle = mean + z2 / (2.0 * n);
    let spread = z * (mean * (1.0 - mean) / n + z2 / (4.0 * n * n)).sqrt();
    ((middle - spread) / (1.0 + z2 / n)).clamp(0.0, 1.0)
}

/// 0 for none.
fn median(times: &mut [u32]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().map_or(0.0, f64::from)
}

fn ago(days: f64) -> String {
    let minutes = days.max(0.0) * 1_440.0;
    if minutes < 90.0 {
        format!("{minutes:.0} min ago")
    } else if minutes < 2_880.0 {
        format!("{:.0} h ago", minutes / 60.0)
    } else {
        format!("{days:.0} days ago")
    }
}

#[cfg(test)]
#[path = "rank_tests.rs"]
mod tests;
