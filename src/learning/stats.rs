//! What is normal for an agent or a tool: robust figures over its last runs.
use serde::Serialize;

use crate::toolkit::learned::Sample;

/// Fewer runs than this allow no judgement.
pub const ENOUGH: usize = 10;
/// The two windows whose shares of success are compared.
const NEW: usize = 30;
const OLD: usize = 200;
/// So far must the shares be apart, in share and in standard errors (one in a hundred by chance).
const DRIFT: f64 = 0.2;
const DRIFT_Z: f64 = 2.58;
/// Standard deviations from the median at which a value is called unusual.
const UNUSUAL: f64 = 3.5;

#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Summary {
    pub n: usize,
    /// Null for no runs at all.
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    /// The posterior over the chance of success, from an even prior.
    pub success_beta: Beta,
    /// How far the newest value is from the median of the others, in robust standard deviations; null below 10 runs,
    /// or where the values do not differ.
    pub anomaly_z: Option<f64>,
    /// How much the share of success of the newest 30 runs differs from that of the 200 before, where that is no
    /// chance; else null.
    pub drift: Option<f64>,
    pub advice: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Beta {
    pub a: f64,
    pub b: f64,
}

/// Of runs from the newest to the oldest.
pub fn summarise(samples: &[Sample]) -> Summary {
    let n = samples.len();
    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    let sorted = sorted(&values);
    let judged: Vec<bool> = samples.iter().filter_map(|sample| sample.success).collect();
    let succeeded = judged.iter().filter(|success| **success).count();
    let mut summary = Summary {
        n,
        mean: (n > 0).then(|| values.iter().sum::<f64>() / n as f64),
        p50: quantile(&sorted, 0.50),
        p95: quantile(&sorted, 0.95),
        success_beta: Beta { a: 1.0 + succeeded as f64, b: 1.0 + (judged.len() - succeeded) as f64 },
        anomaly_z: None,
        drift: None,
        advice: Vec::new(),
    };
    if n < ENOUGH {
        return summary;
    }
    summary.anomaly_z = anomaly(&values);
    summary.drift = drift(&judged);
    if let Some(z) = summary.anomaly_z.filter(|z| z.abs() >= UNUSUAL) {
        let side = if z > 0.0 { "above" } else { "below" };
        summary.advice.push(format!("the newest value is far {side} what is usual: {:.1} deviations", z.abs()));
    }
    if let Some(drift) = summary.drift {
        let word = if drift < 0.0 { "fail more" } else { "succeed more" };
        summary.advice.push(format!("runs {word} often than before: {:+.0} percentage points", 100.0 * drift));
    }
    summary
}

fn anomaly(values: &[f64]) -> Option<f64> {
    let (newest, others) = values.split_first()?;
    let others = sorted(others);
    let middle = quantile(&others, 0.5)?;
    let apart = sorted(&others.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>());
    // Of normal values the median distance times this is the standard deviation.
    let deviation = 1.4826 * quantile(&apart, 0.5)?;
    (deviation > 0.0).then(|| (newest - middle) / deviation)
}

fn drift(judged: &[bool]) -> Option<f64> {
    let (new, old) = judged.split_at_checked(NEW)?;
    let old = &old[..old.len().min(OLD)];
    if old.len() < NEW {
        return None;
    }
    let share = |part: &[bool]| part.iter().filter(|success| **success).count() as f64 / part.len() as f64;
    let (recent, before) = (share(new), share(old));
    let (n, m) = (new.len() as f64, old.len() as f64);
    let together = (recent * n + before * m) / (n + m);
    let error = (together * (1.0 - together) * (1.0 / n + 1.0 / m)).sqrt();
    let apart = recent - before;
    (apart.abs() > DRIFT && apart.abs() > DRIFT_Z * error).then_some(apart)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * q).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64], success: impl Fn(usize) -> bool) -> Vec<Sample> {
        values.iter().enumerate().map(|(at, value)| Sample { value: *value, success: Some(success(at)) }).collect()
    }

    #[test]
    fn few_runs_have_figures_but_no_judgement() {
        assert_eq!(summarise(&[]).mean, None);
        let summary = summarise(&samples(&[900.0, 1.0, 2.0], |_| true));
        assert_eq!((summary.n, summary.p50, summary.success_beta.a), (3, Some(2.0), 4.0));
        assert_eq!((summary.anomaly_z, summary.drift, summary.advice.len()), (None, None, 0));
    }

    #[test]
    fn a_value_far_from_the_others_is_unusual() {
        let mut values: Vec<f64> = (0..40).map(|n| 100.0 + f64::from(n % 5)).collect();
        assert!(summarise(&samples(&values, |_| true)).advice.is_empty());
        values[0] = 500.0;
        let summary = summarise(&samples(&values, |_| true));
        assert!(summary.anomaly_z.expect("a figure") > 100.0);
        assert_eq!(summary.advice.len(), 1);
    }

    #[test]
    fn a_fall_of_the_share_of_success_is_told_and_chance_is_not() {
        let values = vec![1.0; 230];
        let fallen = summarise(&samples(&values, |at| at >= 30 || at % 2 == 0));
        assert_eq!(fallen.drift, Some(-0.5));
        assert!(fallen.advice[0].contains("fail more often"), "{:?}", fallen.advice);
        let steady = summarise(&samples(&values, |at| at % 10 != 0));
        assert_eq!(steady.drift, None);
    }
}
