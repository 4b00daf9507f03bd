//! A step that is done once for each item of a list: each is a step of its own, `max_parallel` of them at a time; the
//! step ends with the last of them, and its data is the list of theirs.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ids::StepId;
use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::advance::Advance;
use crate::workflow::event::RunEvent;
use crate::workflow::replay::Subject;
use crate::workflow::result::StepResult;
use crate::workflow::run::Run;
use crate::workflow::run::item_of;
use crate::workflow::status::StepStatus;
use crate::workflow::step_run::Phase;
use crate::workflow::step_run::Spread;
use crate::workflow::step_run::StepRun;

/// The most items of one step.
pub const MOST_ITEMS: usize = 1_000;

impl Run {
    /// Begins with the items, unless there are none or they are no list.
    pub(super) fn begin_spread(&mut self, place: usize, at: DateTime<Utc>, advance: &mut Advance) {
        let spec = self.spec(place);
        let Some(each) = &spec.for_each else { return };
        let step = spec.id.clone();
        let items = match each.items.render(self) {
            Ok(value) => match value.as_array() {
                Some(items) if items.len() <= MOST_ITEMS => Ok(Arc::new(items.clone())),
                Some(items) => Err(format!("{} items are more than the {MOST_ITEMS} allowed", items.len())),
                None => Err("it is no list".to_owned()),
            },
            Err(error) => Err(error.to_string()),
        };
        let event = match items {
            Ok(items) => RunEvent::StepSpread { step, items },
            Err(detail) => {
                let reason = Reason::new("expression", "for_each", detail);
                RunEvent::StepEnded { step, status: StepStatus::Failed, reason }
            }
        };
        self.record(at, Subject::Step(place), event, advance);
    }

    pub(super) fn spread(&mut self, place: usize, items: &Arc<Vec<Value>>) {
        let (first, parent) = (self.steps.len(), self.spec(place).clone());
        for (n, item) in items.iter().enumerate() {
            // A valid name with a number in brackets is one too.
            let Ok(id) = StepId::new(&format!("{}[{n}]", parent.id)) else { return };
            self.items.push(crate::workflow::step::Step { id, for_each: None, when: None, ..parent.clone() });
            self.steps.push(StepRun { item: Some(Arc::new(item.clone())), ..StepRun::new(0) });
        }
        self.open += items.len();
        let state = &mut self.steps[place];
        state.phase = Phase::Spread;
        state.spread = Some(Box::new(Spread { place: first, count: items.len(), open: items.len() }));
        self.begin_items();
        if items.is_empty() {
            self.gathered.push_back(place);
        }
    }

    /// Puts as many items in the row as may be done at a time.
    pub(super) fn begin_items(&mut self) {
        let spread = (0..self.plan.steps().len()).filter(|place| self.steps[*place].phase == Phase::Spread);
        for place in spread.collect::<Vec<_>>() {
            self.begin_items_of(place);
        }
    }

    fn begin_items_of(&mut self, place: usize) {
        let Some(Spread { place: first, count, .. }) = self.steps[place].spread.as_deref().copied() else { return };
        let of_step = || first..first + count;
        let open = of_step().filter(|item| !self.steps[*item].is_settled()).count();
        if let Some(spread) = &mut self.steps[place].spread {
            spread.open = open;
        }
        let at_work = |item: &usize| {
            let state = &self.steps[*item];
            !state.is_settled() && (state.phase != Phase::Pending || self.ready.contains(item))
        };
        let most = self.spec(place).for_each.as_ref().and_then(|each| each.max_parallel).unwrap_or(count);
        let free = most.saturating_sub(of_step().filter(at_work).count());
        let waits = |item: &usize| self.steps[*item].phase == Phase::Pending && !self.ready.contains(item);
        let next: Vec<usize> = of_step().filter(waits).take(free).collect();
        self.ready.extend(next);
    }

    pub(super) fn item_settled(&mut self, item: usize) {
        let id = self.spec(item).id.clone();
        let parent = item_of(&id).and_then(|(parent, _)| self.plan.place(&StepId::new(parent).ok()?));
        let Some(parent) = parent else { return };
        let Some(spread) = &mut self.steps[parent].spread else { return };
        spread.open -= 1;
        if spread.open == 0 {
            self.gathered.push_back(parent);
        } else if self.stopping.is_none() {
            self.begin_items_of(parent);
        }
    }

    /// All items have settled, and the step with them.
    pub(super) fn gather(&mut self, place: usize, at: DateTime<Utc>, advance: &mut Advance) {
        let Some(Spread { place: first, count, .. }) = self.steps[place].spread.as_deref().copied() else { return };
        let items = &self.steps[first..first + count];
        let has = |status: &[StepStatus]| items.iter().filter(|item| status.contains(&item.status())).count();
        use StepStatus::{Cancelled, Degraded, Denied, Failed, Skipped, TimedOut, Unavailable};
        let (bad, stopped, partly) =
            (has(&[Failed, Denied, TimedOut]), has(&[Cancelled, Skipped]), has(&[Degraded, Unavailable]));
        let data = items.iter().map(|item| item.output().map_or(Value::Null, |output| output.data.clone()));
        let data = Value::Array(data.collect());
        let step = self.spec(place).id.clone();
        let reason = |code: &str, detail: String| Reason::new(code, step.as_str(), detail);
        let output = if bad > 0 {
            let detail = format!("{bad} of {count} items did not succeed");
            Output { status: Status::Failed, data, evidence: Vec::new(), reason: Some(reason("items_failed", detail)) }
        } else if stopped > 0 {
            let detail = format!("{stopped} of {count} items were stopped");
            Output {
                status: Status::Aborted,
                data,
                evidence: Vec::new(),
                reason: Some(reason("items_stopped", detail)),
            }
        } else if partly > 0 {
            let detail = format!("{partly} of {count} items were done in part, or not available");
            Output::degraded(data, Vec::new(), reason("items_degraded", detail))
        } else {
            Output::ok(data, Vec::new())
        };
        let result = Arc::new(StepResult { output, findings: Vec::new(), duration_ms: 0.0, usage: None });
        self.record(at, Subject::Step(place), RunEvent::StepGiven { step, result }, advance);
    }
}
