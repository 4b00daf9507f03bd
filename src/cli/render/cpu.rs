//! What the processor can do, and how fast.
use crate::cli::cpu::Report;
use crate::cli::render::table::{Row, Style, Tone, table};

pub fn report(report: &Report, style: Style) -> String {
    let list = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(" ") };
    let mut text = format!("{}\n", style.paint(Tone::Heading, &format!("level {}", report.level)));
    text += &format!("usable   {}\nmissing  {}\n\n", list(&report.features), list(&report.missing));
    let kernels: Vec<Row> = report
        .kernels
        .iter()
        .map(|kernel| Row::new(Tone::Plain, [kernel.operation.clone(), kernel.kernel.clone()]))
        .collect();
    text += &table(style, &["operation", "code that is used"], &kernels);
    let measured: Vec<Row> = report
        .measured
        .iter()
        .map(|line| {
            let cells = [line.operation.clone(), line.message_bytes.to_string(), format!("{:.2}", line.gb_per_s)];
            Row::new(Tone::Plain, cells)
        })
        .collect();
    text + "\n" + &table(style, &["measured on one core", "bytes a message", "GB/s"], &measured)
}
