//! The three roles; each may do what the one before it may.
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything but tokens.
    Viewer,
    /// Runs workflows, restarts agents, acknowledges alerts.
    Operator,
    /// Tokens, drills, and whatever changes the rules.
    Admin,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role; the roles are viewer, operator and admin")]
pub struct BadRole(String);

impl Role {
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    pub fn may(self, needed: Role) -> bool {
        self >= needed
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = BadRole;
    fn from_str(text: &str) -> Result<Self, BadRole> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| BadRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_the_one_before_it_may() {
        for (rank, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role.as_str().parse::<Role>(), Ok(role));
            for (needed_rank, needed) in Role::ALL.into_iter().enumerate() {
                assert_eq!(role.may(needed), needed_rank <= rank, "{role} for {needed}");
            }
        }
        assert!("root".parse::<Role>().is_err());
    }
}
