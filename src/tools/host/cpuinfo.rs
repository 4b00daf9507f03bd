//! `/proc/cpuinfo` as fields: the same of x86 and ARM.
use std::collections::BTreeMap;

/// The fields of one processor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processor<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Processor<'a> {
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied().filter(|value| !value.is_empty())
    }

    /// Decimal, or hexadecimal with `0x`.
    pub fn number(&self, name: &str) -> Option<u32> {
        let text = self.get(name)?;
        match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// The feature flags: `flags` on x86, `Features` on ARM.
    pub fn flags(&self) -> Vec<&'a str> {
        let line = self.get("flags").or_else(|| self.get("Features")).unwrap_or_default();
        line.split_ascii_whitespace().collect()
    }
}

/// One entry per block of the file that names a processor.
pub fn parse(text: &str) -> Vec<Processor<'_>> {
    let mut processors = Vec::new();
    for block in text.split("\n\n") {
        let fields: BTreeMap<&str, &str> = block
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        if fields.contains_key("processor") {
            processors.push(Processor(fields));
        }
    }
    processors
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_are_processors() {
        let text =
            "processor\t: 0\nmicrocode\t: 0x20\nflags\t\t: fpu avx2\nbugs\t:\n\nprocessor\t: 1\n\nHardware\t: X\n";
        let processors = parse(text);
        assert_eq!(processors.len(), 2);
        assert_eq!(processors[0].number("microcode"), Some(32));
        assert_eq!(processors[0].flags(), ["fpu", "avx2"]);
        assert_eq!(processors[0].get("bugs"), None, "an empty field says nothing");
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            for processor in parse(&text) {
                prop_assert!(processor.flags().len() <= text.len());
                prop_assert!(processor.number("processor").is_none_or(|number| text.contains(&number.to_string()) || text.contains("0x")));
            }
        }
    }
}
