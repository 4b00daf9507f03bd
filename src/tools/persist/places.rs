//! Where things that start by themselves are found, class by class.
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::toolkit::cx::Roots;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    SystemdUnit,
    SystemdTimer,
    Cron,
    At,
    Profile,
    UdevRule,
    LdPreload,
    ModulesLoad,
    XdgAutostart,
    InitScript,
}

/// Every class, in the order in which they are looked for.
pub const CLASSES: [Class; 10] = [
    Class::SystemdUnit,
    Class::SystemdTimer,
    Class::Cron,
    Class::At,
    Class::Profile,
    Class::UdevRule,
    Class::LdPreload,
    Class::ModulesLoad,
    Class::XdgAutostart,
    Class::InitScript,
];

/// How the files of a place are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A table with a user column.
    SystemCrontab,
    UserCrontab,
    /// A program or script: its own path is the command.
    Script,
    UdevRules,
    /// One word or path a line.
    Lines,
    /// A desktop entry.
    Desktop,
}

/// A file, or a directory whose files count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub class: Class,
    pub path: PathBuf,
    pub form: Form,
    /// Only files with this ending, as the program that starts them has it.
    pub ending: &'static str,
}

/// All places but those of systemd, whose links have a logic of their own.
pub fn all(roots: &Roots) -> Vec<Place> {
    let place = |class, path: PathBuf, form, ending| Place { class, path, form, ending };
    let etc = |below: &str| roots.etc.join(below);
    let var = |below: &str| roots.var.join(below);
    let lib = |below: &str| roots.root.join("usr/lib").join(below);
    vec![
        place(Class::Cron, etc("crontab"), Form::SystemCrontab, ""),
        place(Class::Cron, etc("cron.d"), Form::SystemCrontab, ""),
        place(Class::Cron, etc("cron.hourly"), Form::Script, ""),
        place(Class::Cron, etc("cron.daily"), Form::Script, ""),
        place(Class::Cron, etc("cron.weekly"), Form::Script, ""),
        place(Class::Cron, etc("cron.monthly"), Form::Script, ""),
        place(Class::Cron, var("spool/cron/crontabs"), Form::UserCrontab, ""),
        place(Class::At, var("spool/cron/atjobs"), Form::Script, ""),
        place(Class::Profile, etc("profile.d"), Form::Script, ".sh"),
        place(Class::UdevRule, etc("udev/rules.d"), Form::UdevRules, ".rules"),
        place(Class::UdevRule, lib("udev/rules.d"), Form::UdevRules, ".rules"),
        place(Class::LdPreload, etc("ld.so.preload"), Form::Lines, ""),
        place(Class::ModulesLoad, etc("modules"), Form::Lines, ""),
        place(Class::ModulesLoad, etc("modules-load.d"), Form::Lines, ".conf"),
        place(Class::ModulesLoad, lib("modules-load.d"), Form::Lines, ".conf"),
        place(Class::XdgAutostart, etc("xdg/autostart"), Form::Desktop, ".desktop"),
        place(Class::InitScript, etc("rc.local"), Form::Script, ""),
        place(Class::InitScript, etc("init.d"), Form::Script, ""),
    ]
}

/// The directories of systemd's units, strongest first (systemd.unit(5)).
pub fn unit_dirs(roots: &Roots) -> Vec<PathBuf> {
    let own = [
        roots.etc.join("systemd/system"),
        roots.root.join("run/systemd/system"),
        roots.root.join("usr/local/lib/systemd/system"),
    ];
    let vendor = [roots.root.join("usr/lib/systemd/system"), roots.root.join("lib/systemd/system")];
    own.into_iter().chain(vendor).collect()
}
