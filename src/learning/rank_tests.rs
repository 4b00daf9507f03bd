//! The rule of the ranking by tables and properties.
use proptest::prelude::*;

use super::*;
use crate::learning::embed::Embedder;

fn agent(text: &str) -> AgentId {
    AgentId::new(text).expect("an agent id")
}

fn tool() -> ToolId {
    ToolId::new("fs.manifest").expect("a tool id")
}

fn past(name: &str, similarity: f64, successes: u32, failures: u32) -> Neighbour {
    let (age_days, execution_time_ms) = (0.0, 50);
    Neighbour { agent: agent(name), tool: tool(), similarity, age_days, successes, failures, execution_time_ms }
}

struct World {
    embedder: Embedder,
    cards: Vec<Card>,
}

impl World {
    fn new() -> Self {
        let embedder = Embedder::shipped().expect("the shipped model");
        let card =
            |(name, text): (&str, &str)| Card { agent: agent(name), tools: vec![tool()], vector: embedder.embed(text) };
        let cards = [
            ("DISK-DOCTOR", "Use when a disk may be failing: SMART health, wear and errors of drives."),
            ("USB-GUARD", "Use for USB devices: what is plugged in, what is allowed, what is new."),
            ("TIMEKEEPER", "Use for clock drift, NTP sources and time synchronisation."),
        ];
        let cards = cards.into_iter().map(card).collect();
        World { embedder, cards }
    }

    fn rank(&self, task: &str, neighbours: &[Neighbour], rules: &Rules) -> Ranking {
        rank(&self.embedder.embed(task), &self.cards.iter().collect::<Vec<_>>(), neighbours, rules)
    }
}

#[test]
fn without_a_past_the_nearest_description_is_chosen_if_it_is_near_enough() {
    let world = World::new();
    for (task, expected) in [
        ("is the disk failing? look at SMART errors", Some("DISK-DOCTOR")),
        ("which USB devices are plugged in", Some("USB-GUARD")),
        ("check NTP clock synchronisation drift", Some("TIMEKEEPER")),
        ("write a poem about the sea", None),
        ("\u{200b}", None),
    ] {
        let ranking = world.rank(task, &[], &Rules::default());
        assert_eq!(ranking.agent, expected.map(agent), "{task}: {ranking:?}");
        assert_eq!((ranking.n_eff, ranking.ranking.len()), (0.0, 3));
        assert!(ranking.confidence <= 0.8, "a description alone never makes sure");
    }
}

#[test]
fn an_uncertain_answer_says_so() {
    let ranking = World::new().rank("write a poem about the sea", &[], &Rules::default());
    assert!(ranking.reasons[0].starts_with("no agent is confident"), "{:?}", ranking.reasons);
    assert!(!ranking.explored);
    let nobody = rank(&World::new().embedder.embed("x"), &[], &[], &Rules::default());
    assert_eq!((nobody.agent, nobody.ranking.len()), (None, 0));
}

#[test]
fn success_in_the_past_makes_an_agent_the_choice_and_failure_unmakes_it() {
    let world = World::new();
    let task = "write a poem about the sea";
    let good = [past("TIMEKEEPER", 0.9, 20, 0)];
    let ranking = world.rank(task, &good, &Rules::default());
    assert_eq!(ranking.agent, Some(agent("TIMEKEEPER")));
    assert!(ranking.confidence > 0.85 && ranking.n_eff == 20.0, "{ranking:?}");
    assert!(ranking.reasons.iter().any(|r| r.contains("20 of 20 succeeded")), "{:?}", ranking.reasons);
    let bad = [past("DISK-DOCTOR", 0.9, 0, 30)];
    let ranking = world.rank("is the disk failing? look at SMART errors", &bad, &Rules::default());
    assert_ne!(ranking.agent, Some(agent("DISK-DOCTOR")), "{ranking:?}");
}

#[test]
fn the_weight_falls_with_distance_and_age() {
    let rules = Rules::default();
    let weight_of =
        |similarity: f64, age_days: f64| weight(&Neighbour { age_days, ..past("A", similarity, 1, 0) }, &rules);
    assert_eq!(weight_of(1.0, 0.0), 1.0);
    assert_eq!(weight_of(0.25, 0.0), 0.0);
    assert_eq!(weight_of(-0.5, 0.0), 0.0);
    assert_eq!(weight_of(0.9, 14.0), 0.5);
    assert!((weight_of(0.9, 70.0) - 0.03125).abs() < 1e-12);
    // ((0.5 - 0.25) / 0.75)^2 / 0.35
    assert!((weight_of(0.5, 0.0) - 0.317_460).abs() < 1e-5);
}

#[test]
fn one_that_is_little_known_may_be_tried_before_one_that_is_better_so_far() {
    let world = World::new();
    let cards: Vec<&Card> = world.cards.iter().collect();
    let task = world.embedder.embed("write a poem about the sea");
    let known = [past("DISK-DOCTOR", 0.9, 60, 40), past("USB-GUARD", 0.9, 1, 1)];
    let ranking = rank(&task, &cards, &known, &Rules { c: 3.0, ..Rules::default() });
    assert_eq!((ranking.agent, ranking.explored), (Some(agent("USB-GUARD")), true), "{:?}", ranking.ranking);
    assert!(ranking.reasons[0].contains("DISK-DOCTOR has the higher confidence"), "{:?}", ranking.reasons);
    let safe = rank(&task, &cards, &known, &Rules { c: 0.0, ..Rules::default() });
    assert_eq!((safe.agent, safe.explored), (Some(agent("DISK-DOCTOR")), false));
}

#[test]
fn of_two_equals_the_faster_one_is_chosen_then_the_first_by_name() {
    let world = World::new();
    let cards: Vec<&Card> = world.cards.iter().collect();
    let task = world.embedder.embed("\u{200b}");
    let slow = Neighbour { execution_time_ms: 60_000, ..past("DISK-DOCTOR", 0.9, 20, 0) };
    let quick = past("USB-GUARD", 0.9, 20, 0);
    assert_eq!(rank(&task, &cards, &[slow, quick.clone()], &Rules::default()).agent, Some(agent("USB-GUARD")));
    let equal = past("DISK-DOCTOR", 0.9, 20, 0);
    assert_eq!(rank(&task, &cards, &[quick, equal], &Rules::default()).agent, Some(agent("DISK-DOCTOR")));
}

#[test]
fn of_two_that_reach_the_ceiling_of_the_prior_the_nearer_one_is_chosen() {
    let embedder = Embedder::shipped().expect("the shipped model");
    let text = "which network interfaces are up";
    let card = |name: &str, text: &str| Card { agent: agent(name), tools: vec![tool()], vector: embedder.embed(text) };
    let (near, same) =
        (card("A-NEAR", "which network interfaces there are and which of them are up"), card("B-SAME", text));
    let ranking = rank(&embedder.embed(text), &[&near, &same], &[], &Rules::default());
    assert_eq!(ranking.ranking[0].confidence, ranking.ranking[1].confidence, "both are at the ceiling");
    assert_eq!(ranking.agent, Some(agent("B-SAME")));
}

#[test]
fn the_lower_bound_is_wilsons() {
    assert!((wilson_lower(0.5, 100.0, 1.96) - 0.403_8).abs() < 1e-3);
    assert!((wilson_lower(0.8, 2.0, 1.64) - 0.279_5).abs() < 1e-3);
}

fn pasts() -> impl Strategy<Value = Vec<Neighbour>> {
    let name = prop_oneof![Just("DISK-DOCTOR"), Just("USB-GUARD"), Just("TIMEKEEPER"), Just("NOBODY")];
    let one = (name, -1.0..1.0_f64, 0.0..100.0_f64, 0..500_u32, 0..500_u32, 0..100_000_u32);
    let one = one.prop_map(|(name, similarity, age_days, good, bad, execution_time_ms)| Neighbour {
        age_days,
        execution_time_ms,
        ..past(name, similarity, good, bad)
    });
    proptest::collection::vec(one, 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn figures_are_chances_and_the_order_of_the_past_does_not_matter(mut past in pasts()) {
        let world = World::new();
        let task = "is the disk failing? look at SMART errors";
        let ranking = world.rank(task, &past, &Rules::default());
        for ranked in &ranking.ranking {
            prop_assert!((0.0..=1.0).contains(&ranked.confidence), "{ranked:?}");
            prop_assert!(ranked.lower <= ranked.confidence + 1e-9, "{ranked:?}");
        }
        prop_assert!(ranking.ranking.is_sorted_by(|a, b| a.score >= b.score));
        past.reverse();
        let again = world.rank(task, &past, &Rules::default());
        prop_assert_eq!(&again.agent, &ranking.agent);
        prop_assert!((again.confidence - ranking.confidence).abs() < 1e-9);
    }

    #[test]
    fn one_more_success_never_lowers_and_one_more_failure_never_raises(past in pasts(), at in 0..20_usize) {
        let world = World::new();
        let task = "is the disk failing? look at SMART errors";
        let confidence = |past: &[Neighbour], name: &AgentId| {
            let ranking = world.rank(task, past, &Rules::default());
            ranking.ranking.into_iter().find(|ranked| ranked.agent == *name).map(|ranked| ranked.confidence)
        };
        if let Some(one) = past.get(at) {
            let (mut better, mut worse) = (past.clone(), past.clone());
            better[at].successes += 1;
            worse[at].failures += 1;
            let as_is = confidence(&past, &one.agent);
            prop_assert!(confidence(&better, &one.agent) >= as_is);
            prop_assert!(confidence(&worse, &one.agent) <= as_is);
        }
    }
}
