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
use crate::workflow::template::larger_than;

/// The most items of one step.
pub const MOST_ITEMS: usize = 1_000;
/// The most items of all steps of a run.
const MOST_OF_RUN: usize = 10_000;

impl Run {
    /// Begins with the items, unless there are none or they are no list.
    pub(super) fn begin_spread(&mut self, place: usize, at: DateTime<Utc>, advance: &mut Advance) {
        let spec = self.spec(place);
        let Some(each) = &spec.for_each else { return };
        let step = spec.id.clone();
        let items = each.items.render(self).map_err(|error| ("expression", error.to_string()));
        let items = items.and_then(|value| self.items_in(&value));
        let event = match items {
            Ok(items) => RunEvent::StepSpread { step, items },
            Err((code, detail)) => {
                let reason = Reason::new(code, "for_each", detail);
                RunEvent::StepEnded { step, status: StepStatus::Failed, reason }
            }
        };
        self.record(at, Subject::Step(place), event, advance);
    }

    fn items_in(&self, value: &Value) -> Result<Arc<Vec<Value>>, (&'static str, String)> {
        let Some(items) = value.as_array() else { return Err(("expression", "it is no list".to_owned())) };
        let (count, all, most) = (items.len(), self.items.len() + items.len(), self.plan.max_value_bytes());
        if count > MOST_ITEMS {
            return Err(("too_large", format!("{count} items are more than the {MOST_ITEMS} allowed")));
        }
        if all > MOST_OF_RUN {
            return Err(("too_large", format!("{all} items are more than the {MOST_OF_RUN} that a run may have")));
        }
        if larger_than(value, most) {
            return Err(("too_large", format!("the list is larger than {most} bytes")));
        }
        Ok(Arc::new(items.clone()))
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
        let count = items.len();
        state.spread = Some(Box::new(Spread { place: first, count, open: count, next: 0, begun: 0 }));
        self.begin_items(place);
        if items.is_empty() {
            self.gathered.push_back(place);
        }
    }

    /// Begins anew with the items of all steps that are to be done again; those that did well are left as they are.
    pub(super) fn begin_items_again(&mut self) {
        let spread = (0..self.plan.steps().len()).filter(|place| self.steps[*place].phase == Phase::Spread);
        for place in spread.collect::<Vec<_>>() {
            let Some(Spread { place: first, count, .. }) = self.steps[place].spread.as_deref().copied() else {
                continue;
            };
            let open = self.steps[first..first + count].iter().filter(|item| !item.is_settled()).count();
            if let Some(spread) = &mut self.steps[place].spread {
                **spread = Spread { open, next: 0, begun: 0, ..**spread };
            }
            self.begin_items(place);
            if open == 0 {
                self.gathered.push_back(place);
            }
        }
    }

    /// Puts as many items in the row as may be done at a time.
    fn begin_items(&mut self, place: usize) {
        let most = self.spec(place).for_each.as_ref().and_then(|each| each.max_parallel);
        let Some(mut now) = self.steps[place].spread.as_deref().copied() else { return };
        let mut row = Vec::new();
        while now.next < now.count && most.is_none_or(|most| now.begun + row.len() < most) {
            row.push(now.place + now.next);
            now.next += 1;
            row.pop_if(|item| self.steps[*item].phase != Phase::Pending);
        }
        now.begun += row.len();
        self.ready.extend(row);
        if let Some(spread) = &mut self.steps[place].spread {
            **spread = now;
        }
    }

    pub(super) fn item_settled(&mut self, item: usize) {
        let id = self.spec(item).id.clone();
        let parent = item_of(&id).and_then(|(parent, _)| self.plan.place(&StepId::new(parent).ok()?));
        let Some(parent) = parent else { return };
        let Some(spread) = &mut self.steps[parent].spread else { return };
        spread.open -= 1;
        if item < spread.place + spread.next {
            spread.begun -= 1;
        }
        if spread.open == 0 {
            self.gathered.push_back(parent);
        } else if self.stopping.is_none() {
            self.begin_items(parent);
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
        let most = self.plan.max_value_bytes();
        let output = if larger_than(&data, most) {
            let detail = format!("the data of its items are together larger than {most} bytes");
            Output::without_data(Status::Failed, reason("too_large", detail))
        } else if bad > 0 {
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
