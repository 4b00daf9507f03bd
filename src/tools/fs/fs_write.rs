//! `fs.write`: replace or make one file below the scratch root, at once or not at all, and put back what was there.
//!
//! ```text
//! plan:  look -> content before and content after into the undo store -> plan
//! apply: as planned? -> write a part, sync -> exchange it for the file -> taken out what was planned? -> remove it, sync
//!                                                                      `- no: exchange back, `changed_since`
//! undo:  the same the other way round; a file that was new is taken away
//! ```
//! A call that is cut off anywhere leaves the file as before or as after, and what it left beside it is cleared away by
//! the next call for the same file (`spot`).
use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::geteuid;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::ids::Digest;
use crate::toolkit::change::{Change, Planned, Settled, needs_a_plan};
use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::{Evidence, Output};
use crate::toolkit::spec::{Tool, ToolSpec};
use crate::tools::evidence::{Started, sha256};
use crate::tools::fs::refused::Refused;
use crate::tools::fs::scratch::Ground;
use crate::tools::fs::spot::Spot;
use crate::tools::fs::state::FileState;
use crate::tools::fs::undo_store::UndoStore;
use crate::tools::fs::write_input::{Input, Wanted};
use crate::tools::fs::write_plan::{After, WritePlan, describe};
use crate::tools::schema;

/// Of a new file, unless the call says otherwise.
const NEW_MODE: u32 = 0o600;

#[derive(Debug, Serialize, JsonSchema)]
struct Data {
    path: String,
    /// `absent`: the file is new.
    before_sha256: String,
    after_sha256: String,
    /// The content before, in the undo store; null for a new file.
    backup_id: Option<String>,
    bytes: u64,
    /// Permission bits in octal.
    mode: String,
}

/// What `undo` answers.
#[derive(Debug, Serialize)]
struct Undone {
    path: String,
    /// SHA-256, or `absent`.
    restored: String,
    /// It was as before already.
    already: bool,
}

pub struct FsWrite;

impl Tool for FsWrite {
    fn spec(&self) -> ToolSpec {
        let what = "Atomically write an allow-listed file";
        schema::mutating::<Input, Data>("fs.write", what, "owner of the path", Duration::from_secs(60))
    }

    fn call(&self, _: &ToolCx, _: &Value) -> Output {
        needs_a_plan("fs.write")
    }

    fn change(&self) -> Option<&dyn Change> {
        Some(self)
    }
}

impl Change for FsWrite {
    fn plan(&self, cx: &ToolCx, input: &Value) -> Result<Planned, Box<Output>> {
        plan(cx, Wanted::parse(cx, input)?).map_err(|refused| Box::new(refused.output()))
    }

    fn apply(&self, cx: &ToolCx, plan: &Value) -> Output {
        WritePlan::parse(plan).and_then(|plan| apply(cx, &plan)).unwrap_or_else(Refused::output)
    }

    fn undo(&self, cx: &ToolCx, plan: &Value) -> Output {
        WritePlan::parse(plan).and_then(|plan| undo(cx, &plan)).unwrap_or_else(Refused::output)
    }

    fn settle(&self, cx: &ToolCx, plan: &Value) -> Output {
        WritePlan::parse(plan).and_then(|plan| settle(cx, &plan)).unwrap_or_else(Refused::output)
    }
}

fn plan(cx: &ToolCx, wanted: Wanted) -> Result<Planned, Refused> {
    let started = Started::now(cx);
    let store = UndoStore::new(&cx.writes.undo);
    let ground = Ground::open(&cx.writes.scratch, &wanted.path)?;
    let full = ground.full();
    let (found, made_dirs) = match ground.parent()? {
        Some(dir) => {
            let spot = Spot::hold(cx, dir, ground.name(), &full)?;
            spot.writable()?;
            spot.tidy(&store)?;
            (spot.look()?, Vec::new())
        }
        None => (None, ground.missing()?),
    };
    let (before, old) = found.unzip();
    may_keep_owner(&ground, before.as_ref())?;
    let after = After {
        sha256: sha256(&wanted.content),
        bytes: wanted.content.len() as u64,
        mode: wanted.mode.unwrap_or_else(|| before.as_ref().map_or(NEW_MODE, |before| before.mode)),
    };
    let plan = WritePlan { root: cx.writes.scratch.clone(), path: ground.path(), before, after, made_dirs };
    if let Some(expected) = wanted.expected.filter(|expected| *expected != plan.before_sha256()) {
        let detail = format!("{expected} was expected, {}", describe(plan.before.as_ref()));
        return Err(Refused::changed(&full, detail));
    }
    for content in old.iter().chain([&wanted.content]) {
        store.keep(content).map_err(|error| Refused::io(store.dir(), "written", error))?;
    }
    let evidence = vec![seen(cx, started, &ground, plan.before.as_ref())];
    let summary = summary(&ground, &plan);
    let plan = serde_json::to_value(plan).map_err(|error| Refused::BadPlan { detail: error.to_string() })?;
    Ok(Planned { plan, summary, evidence })
}

/// A replaced file keeps its owner, which only root can bring about for another's file.
fn may_keep_owner(ground: &Ground, before: Option<&FileState>) -> Result<(), Refused> {
    let me = geteuid();
    match before {
        Some(before) if !me.is_root() && before.uid != me.as_raw() => {
            let detail = format!("belongs to user {}, and this service is user {}", before.uid, me.as_raw());
            Err(Refused::NotPermitted { path: ground.full().display().to_string(), detail })
        }
        _ => Ok(()),
    }
}

fn summary(ground: &Ground, plan: &WritePlan) -> String {
    let path = ground.full();
    let (path, after) = (path.display(), &plan.after);
    let becomes = format!("{} bytes, mode {:04o}, sha256 {:.12}", after.bytes, after.mode, after.sha256.to_string());
    match &plan.before {
        None => format!("make {path} ({becomes})"),
        Some(_) if plan.changes_nothing() => format!("leave {path} as it is ({becomes})"),
        Some(before) => {
            let was =
                format!("{} bytes, mode {:04o}, sha256 {:.12}", before.bytes, before.mode, before.sha256.to_string());
            format!("replace {path} ({was}) by {becomes}")
        }
    }
}

fn apply(cx: &ToolCx, plan: &WritePlan) -> Result<Output, Refused> {
    let started = Started::now(cx);
    let ground = open(cx, plan)?;
    let mut made = Vec::new();
    match ground.make_dirs(&plan.made_dirs, &mut made).and_then(|()| write(cx, &ground, plan)) {
        Ok(now) => Ok(Output::ok(data(&ground, plan)?, vec![seen(cx, started, &ground, Some(&now))])),
        Err(refused) => Err(refused.after(ground.remove_dirs(&made))),
    }
}

fn write(cx: &ToolCx, ground: &Ground, plan: &WritePlan) -> Result<FileState, Refused> {
    let (store, full) = (UndoStore::new(&cx.writes.undo), ground.full());
    let Some(dir) = ground.parent()? else { return Err(Refused::changed(&full, "its directory is gone")) };
    let spot = Spot::hold(cx, dir, ground.name(), &full)?;
    spot.tidy(&store)?;
    let now = spot.look()?.map(|(now, _)| now);
    if !plan.is_before(now.as_ref()) {
        return Err(Refused::changed(&full, describe(now.as_ref())));
    }
    if let Some(now) = now.filter(|_| plan.changes_nothing()) {
        return Ok(now);
    }
    let content = kept(&store, plan.after.sha256)?;
    spot.write_part(&content, &plan.new_look(&BTreeMap::new()))?;
    if let Err(stopped) = cx.go_on() {
        return Err(Refused::Stopped(stopped).after(spot.drop_part()));
    }
    match &plan.before {
        None => spot.place()?,
        Some(_) => {
            spot.arm()?;
            spot.exchange()?;
        }
    }
    // From here on the file is changed: what goes wrong is taken back.
    let concluded = match &plan.before {
        None => Ok(()),
        Some(before) => spot.conclude(&store, |out| out.same(before)),
    };
    concluded.and_then(|()| finished(&spot, plan)).map_err(|fault| fault.after(take_back(&spot, &store, plan)))
}

fn finished(spot: &Spot, plan: &WritePlan) -> Result<FileState, Refused> {
    spot.sync()?;
    match spot.look()? {
        Some((now, _)) if plan.is_after(&now) => Ok(now),
        now => Err(spot.unverified(&describe(now.map(|(now, _)| now).as_ref()))),
    }
}

/// Undoes what this very call did, and nothing that anybody did since.
fn take_back(spot: &Spot, store: &UndoStore, plan: &WritePlan) -> Result<(), Refused> {
    match spot.look() {
        Ok(Some((now, _))) if plan.is_after(&now) && !plan.is_before(Some(&now)) => put_back(spot, store, plan),
        Ok(_) | Err(Refused::NotPlain { .. }) => Ok(()),
        Err(refused) => Err(refused),
    }
}

/// From after to before.
fn put_back(spot: &Spot, store: &UndoStore, plan: &WritePlan) -> Result<(), Refused> {
    match &plan.before {
        None => spot.take(|out| plan.is_after(out))?,
        Some(before) => {
            spot.write_part(&kept(store, before.sha256)?, &before.look())?;
            spot.arm()?;
            spot.exchange()?;
            spot.conclude(store, |out| plan.is_after(out))?;
        }
    }
    spot.sync()
}

fn undo(cx: &ToolCx, plan: &WritePlan) -> Result<Output, Refused> {
    let started = Started::now(cx);
    let (store, ground) = (UndoStore::new(&cx.writes.undo), open(cx, plan)?);
    let full = ground.full();
    let mut already = true;
    let mut restored = None;
    if let Some(dir) = ground.parent()? {
        let spot = Spot::hold(cx, dir, ground.name(), &full)?;
        spot.tidy(&store)?;
        restored = spot.look()?.map(|(now, _)| now);
        already = plan.is_before(restored.as_ref());
        if !already && !restored.as_ref().is_some_and(|now| plan.is_after(now)) {
            return Err(Refused::changed(&full, describe(restored.as_ref())));
        }
        if !already {
            put_back(&spot, &store, plan)?;
            restored = spot.look()?.map(|(now, _)| now);
            if !plan.is_before(restored.as_ref()) {
                return Err(spot.unverified(&describe(restored.as_ref())));
            }
        }
        // Also where nothing was to do: a call before this one may have been cut off before it came to that.
        spot.sync()?;
    } else if plan.before.is_some() {
        return Err(Refused::changed(&full, "its directory is gone"));
    }
    ground.remove_dirs(&plan.made_dirs)?;
    let undone = Undone { path: full.display().to_string(), restored: plan.before_sha256(), already };
    Ok(Output::ok(as_json(undone)?, vec![seen(cx, started, &ground, restored.as_ref())]))
}

fn settle(cx: &ToolCx, plan: &WritePlan) -> Result<Output, Refused> {
    let started = Started::now(cx);
    let ground = open(cx, plan)?;
    let full = ground.full();
    let (now, left) = match ground.parent()? {
        // Held: a call that was given up may still be at work.
        Some(dir) => {
            let spot = Spot::hold(cx, dir, ground.name(), &full)?;
            (spot.look()?.map(|(now, _)| now), spot.look_at_swap()?.map(|left| (left, spot.swap_path())))
        }
        None => (None, None),
    };
    let verdict = match (&now, left) {
        (_, Some((left, swap))) if !plan.is_before(Some(&left)) && !plan.is_after(&left) => {
            let detail = format!("{} holds what somebody else wrote: {}", swap.display(), describe(Some(&left)));
            Settled::Neither { detail }
        }
        (Some(now), _) if plan.is_after(now) => Settled::Applied { data: data(&ground, plan)? },
        (now, _) if plan.is_before(now.as_ref()) => Settled::NotApplied,
        (now, _) => Settled::Neither { detail: format!("{}: {}", full.display(), describe(now.as_ref())) },
    };
    Ok(verdict.into_output(vec![seen(cx, started, &ground, now.as_ref())]))
}

/// The ground of a plan, which must be that of the configuration still.
fn open(cx: &ToolCx, plan: &WritePlan) -> Result<Ground, Refused> {
    let root = &cx.writes.scratch;
    if plan.root != *root {
        let why = "was planned below another root, which is not the configured one any more";
        return Err(Refused::Outside { path: plan.path.clone(), why, root: root.display().to_string() });
    }
    Ground::open(root, &plan.path)
}

fn kept(store: &UndoStore, digest: Digest) -> Result<Vec<u8>, Refused> {
    store.get(&digest).map_err(|error| Refused::io(&store.dir().join(digest.to_string()), "read", error))
}

fn data(ground: &Ground, plan: &WritePlan) -> Result<Value, Refused> {
    as_json(Data {
        path: ground.full().display().to_string(),
        before_sha256: plan.before_sha256(),
        after_sha256: plan.after.sha256.to_string(),
        backup_id: plan.before.as_ref().map(|before| format!("sha256:{}", before.sha256)),
        bytes: plan.after.bytes,
        mode: format!("{:04o}", plan.after.mode),
    })
}

fn as_json(data: impl Serialize) -> Result<Value, Refused> {
    serde_json::to_value(data).map_err(|error| Refused::BadPlan { detail: error.to_string() })
}

fn seen(cx: &ToolCx, started: Started, ground: &Ground, now: Option<&FileState>) -> Evidence {
    let path = ground.full();
    match now {
        Some(now) => started.evidence(cx, path.display().to_string(), now.sha256, now.bytes, false),
        None => started.evidence(cx, format!("{} (absent)", path.display()), sha256(b""), 0, false),
    }
}
