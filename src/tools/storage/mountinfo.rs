//! `/proc/self/mountinfo`, one line per mount (proc_pid_mountinfo(5)).

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub path: String,
    pub fs: String,
    /// Device or other source.
    pub source: String,
    /// Options of the mount and of its file system, each once, sorted.
    pub opts: Vec<String>,
}

/// Every line that has the documented form; the count tells how many have not.
pub fn parse(text: &str) -> (Vec<Mount>, usize) {
    let mut odd = 0;
    let mounts = text
        .lines()
        .filter_map(|line| {
            let mount = parse_line(line);
            odd += usize::from(mount.is_none());
            mount
        })
        .collect();
    (mounts, odd)
}

fn parse_line(line: &str) -> Option<Mount> {
    // 36 35 98:0 /root /path opts [optional fields] - type source super-opts
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let path = left.nth(4)?;
    let opts = left.next()?;
    let mut right = right.split(' ');
    let (fs, source) = (right.next()?, right.next()?);
    let mut all: Vec<String> =
        opts.split(',').chain(right.next().unwrap_or_default().split(',')).map(str::to_owned).collect();
    all.retain(|option| !option.is_empty());
    all.sort();
    all.dedup();
    Some(Mount { path: unescape(path), fs: fs.to_owned(), source: unescape(source), opts: all })
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_gives_path_type_source_and_options() {
        let (mounts, odd) = parse(
            "36 35 98:0 /mnt1 /mnt/with\\040space rw,noatime master:1 - ext4 /dev/root rw,errors=continue\nnonsense\n",
        );
        let opts = ["errors=continue", "noatime", "rw"].map(str::to_owned).to_vec();
        let expected = Mount { path: "/mnt/with space".into(), fs: "ext4".into(), source: "/dev/root".into(), opts };
        assert_eq!((mounts, odd), (vec![expected], 1));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\\n\\\\]{0,200}") {
            parse(&text);
            unescape(&text);
        }
    }
}
