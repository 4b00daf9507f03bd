//! What a start-up file would run, taken from its text: for people, so redaction comes after.

/// Commands of a crontab. `system`: a user name stands between time and command (crontab(5)).
pub fn of_crontab(text: &str, system: bool) -> Vec<String> {
    text.lines().filter_map(|line| cron_line(line.trim(), system)).collect()
}

fn cron_line(line: &str, system: bool) -> Option<String> {
    let first = line.split_whitespace().next()?;
    // Comments, and settings such as `PATH=/bin` or `MAILTO = root`.
    if first.starts_with('#') || first.contains('=') || line.split_whitespace().nth(1)?.starts_with('=') {
        return None;
    }
    let times = if first.starts_with('@') { 1 } else { 5 };
    let words: Vec<_> = line.split_whitespace().skip(times + usize::from(system)).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Values of the keys of an INI-like file that begin with one of `keys`: `ExecStart=` of a unit, `Exec=` of an entry.
pub fn of_keys(text: &str, keys: &[&str]) -> Vec<String> {
    let value = |line: &str| {
        let (key, value) = line.trim().split_once('=')?;
        keys.contains(&key.trim()).then(|| value.trim().to_owned())
    };
    text.lines().filter_map(value).filter(|value| !value.is_empty()).collect()
}

/// Programs that udev rules run: `RUN+="..."` and `PROGRAM="..."` (udev(7)).
pub fn of_udev(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        for part in line.split(',') {
            let Some((key, value)) = part.trim().split_once('=') else { continue };
            let key = key.trim_end_matches(['+', '=', ':', '!']);
            // `RUN{builtin}` names code of udev itself.
            if matches!(key, "RUN" | "RUN{program}" | "PROGRAM" | "IMPORT{program}") {
                found.push(value.trim_start_matches('=').trim_matches('"').to_owned());
            }
        }
    }
    found
}

/// Lines that are neither empty nor comments.
pub fn of_lines(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn crontabs_with_and_without_a_user_column() {
        let text = "# m h\nSHELL=/bin/sh\nMAILTO = root\n17 * * * * root cd / && run-parts /etc/cron.hourly\n@reboot root /x\n\n";
        assert_eq!(of_crontab(text, true), ["cd / && run-parts /etc/cron.hourly", "/x"]);
        assert_eq!(of_crontab("*/5 * * * * /usr/bin/y -z\n@daily /w", false), ["/usr/bin/y -z", "/w"]);
    }

    #[test]
    fn keys_of_units_and_entries() {
        let unit = "[Service]\nExecStartPre=-/bin/a\nExecStart = /bin/b --c\nExecStart=\n#ExecStart=/no\n";
        assert_eq!(of_keys(unit, &["ExecStart", "ExecStartPre"]), ["-/bin/a", "/bin/b --c"]);
    }

    #[test]
    fn programs_of_udev_rules() {
        let rules = "ACTION==\"add\", RUN+=\"/bin/x %k\", MODE=\"0600\"\n#RUN+=\"/no\"\nRUN{builtin}+=\"kmod load\", PROGRAM==\"/bin/y\"\n";
        assert_eq!(of_udev(rules), ["/bin/x %k", "/bin/y"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\\n]{0,300}") {
            of_crontab(&text, true);
            of_crontab(&text, false);
            of_keys(&text, &["Exec"]);
            of_udev(&text);
            of_lines(&text);
        }
    }
}
