//! Pressure stall information of the kernel (Documentation/accounting/psi.rst): shares of time lost by waiting.

/// Shares of the last ten seconds, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pressure {
    /// Some task waited.
    pub some: Option<f64>,
    /// All tasks that had work waited.
    pub full: Option<f64>,
}

/// Reads a file such as `/proc/pressure/cpu`.
pub fn parse(text: &str) -> Pressure {
    let share = |kind: &str| {
        let line = text.lines().find(|line| line.split(' ').next() == Some(kind))?;
        let percent: f64 = line.split(' ').find_map(|part| part.strip_prefix("avg10="))?.parse().ok()?;
        (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
    };
    Pressure { some: share("some"), full: share("full") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read_and_nothing_is_made_up() {
        let text = "some avg10=12.50 avg60=3.00 avg300=1.00 total=5\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=1\n";
        assert_eq!(parse(text), Pressure { some: Some(0.125), full: Some(0.0025) });
        assert_eq!(parse("some avg10=1.00 avg60=0.00 avg300=0.00 total=1\n").full, None);
        for odd in ["", "some avg10=x\n", "some avg60=1.0\n", "some avg10=700\n", "somewhat avg10=1\n"] {
            assert_eq!(parse(odd), Pressure::default(), "{odd:?}");
        }
    }
}
