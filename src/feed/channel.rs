//! The channels of the feed.

/// Where an event belongs. State channels hold one value per id, the newest; log channels hold the last entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// State: readings of the host, by metric.
    Host,
    /// State: the agents, by id.
    Agents,
    /// State: runs with their steps, by id.
    Workflows,
    /// State: what is pending, firing, or was resolved a while ago, by fingerprint.
    Alerts,
    /// State: the service itself, by part.
    Service,
    /// Log: what supervisors, monitors and operators did.
    Events,
    /// Log: entries of the audit log.
    Audit,
}

impl Channel {
    pub const ALL: [Channel; 7] = [
        Channel::Host,
        Channel::Agents,
        Channel::Workflows,
        Channel::Alerts,
        Channel::Service,
        Channel::Events,
        Channel::Audit,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Host => "host",
            Channel::Agents => "agents",
            Channel::Workflows => "workflows",
            Channel::Alerts => "alerts",
            Channel::Service => "service",
            Channel::Events => "events",
            Channel::Audit => "audit",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_str() == text)
    }

    /// A log keeps entries, a state keeps the newest value of each id.
    pub fn is_log(self) -> bool {
        matches!(self, Channel::Events | Channel::Audit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_is_known_by_its_name() {
        for channel in Channel::ALL {
            assert_eq!(Channel::parse(channel.as_str()), Some(channel));
        }
        assert_eq!(Channel::parse("nothing"), None);
    }
}
