//! The report as a page: inline SVG, no script, nothing fetched.

use std::fmt::Write as _;

use sidetone_testkit::rtp::HEARD_DBOV;

use crate::report::Report;
use crate::resources::Sample;
use crate::steady::Steadiness;

pub(crate) fn page(report: &Report) -> String {
    let verdict = if report.passed { "passed" } else { "failed" };
    let failures: String = report.failures.iter().map(|text| format!("<li>{}</li>", escaped(text))).collect();
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Load test: {verdict}</title><style>{STYLE}</style>\
         <h1 class=\"{verdict}\">{} calls, {verdict}</h1><ul>{failures}</ul>\
         <p>Heard {:.2} %, loss {:.3} %, longest gap {:.0} ms. Set-up: median {:.1} ms, p99 {:.1} ms, longest {:.1} ms.</p>\
         <p>Sound, {}: median {:.1} ms, p99 {:.1} ms, longest {:.1} ms ({} of {} markers found). The generator: {:.1} s of \
         processor time, {} of {} frames late, the latest by {:.1} ms.</p>",
        report.calls_made,
        report.heard * 100.0,
        report.loss * 100.0,
        report.max_gap_ms,
        report.setup.p50_ms,
        report.setup.p99_ms,
        report.setup.max_ms,
        report.delay.name(),
        report.delay.p50_ms,
        report.delay.p99_ms,
        report.delay.max_ms,
        report.delay.found,
        report.delay.sent,
        report.generator.cpu_s,
        report.generator.late,
        report.generator.frames,
        report.generator.latest_ms,
    );
    page.push_str(&format!("<h2>Set-up times</h2>{}", distribution(report)));
    if !report.levels_dbov.is_empty() {
        page.push_str(&format!("<h2>Who hears whom, in dBov</h2>{}", matrix(&report.levels_dbov)));
    }
    if let Some(steadiness) = &report.steadiness {
        page.push_str(&needed(steadiness));
    }
    page.push_str(&calls(report));
    page
}

/// What the server needed, as a table.
fn needed(steadiness: &Steadiness) -> String {
    let Steadiness {
        codec_changes,
        holds,
        late_ticks,
        late_ticks_excused,
        stolen_ms,
        memory_growth_mb,
        samples,
    } = steadiness;
    let mut table = format!(
        "<h2>What the server needed</h2><p>{codec_changes} codecs changed, {holds} calls held. Late ticks: {late_ticks}, of \
         these excused by the machine {late_ticks_excused}; its host took {stolen_ms} ms from it. Resident memory grew by {memory_growth_mb:.1} MB from the second \
         tenth to the last.</p><table><tr><th>s<th>resident MB<th>descriptors<th>late ticks<th>excused<th>ms taken by the host, ever</tr>",
    );
    for Sample { at_s, resident_mb, descriptors, late_ticks, late_ticks_excused, stolen_ms, .. } in samples {
        let _ = write!(
            table,
            "<tr><td>{at_s}<td>{resident_mb:.1}<td>{descriptors}<td>{late_ticks}<td>{late_ticks_excused}<td>{stolen_ms}</tr>"
        );
    }
    table.push_str("</table>");
    table
}

/// Set-up times in twenty classes of equal width.
fn distribution(report: &Report) -> String {
    let width = (report.setup.max_ms / CLASSES as f64).max(0.1);
    let mut counts = [0usize; CLASSES];
    for setup in report.calls.iter().filter_map(|call| call.setup_ms) {
        counts[((setup / width) as usize).min(CLASSES - 1)] += 1;
    }
    let highest = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut svg =
        String::from("<svg viewBox=\"0 0 640 180\" width=\"640\" role=\"img\" aria-label=\"Set-up times\">");
    for (n, count) in counts.iter().enumerate() {
        let height = 140.0 * *count as f64 / highest as f64;
        let (from, to) = (n as f64 * width, (n + 1) as f64 * width);
        let _ = write!(
            svg,
            "<rect x=\"{}\" y=\"{:.1}\" width=\"28\" height=\"{height:.1}\"><title>{from:.1} to {to:.1} ms: {count}</title></rect>",
            n * 32,
            150.0 - height,
        );
    }
    let _ = write!(
        svg,
        "<text x=\"0\" y=\"170\">0</text><text x=\"560\" y=\"170\">{:.0} ms</text></svg>",
        width * CLASSES as f64
    );
    svg
}

fn matrix(levels: &[Vec<f32>]) -> String {
    let size = levels.len() * CELL + CELL;
    let mut svg =
        format!("<svg viewBox=\"0 0 {size} {size}\" width=\"{size}\" role=\"img\" aria-label=\"Levels\">");
    for (row, levels) in levels.iter().enumerate() {
        let at = (row + 1) * CELL;
        let _ = write!(
            svg,
            "<text x=\"4\" y=\"{}\">{}</text><text x=\"{}\" y=\"20\">{}</text>",
            at + 20,
            row + 1,
            at + 4,
            row + 1
        );
        for (column, level) in levels.iter().enumerate() {
            let class = match (row == column, *level >= HEARD_DBOV) {
                (true, false) => "own",
                (false, true) => "heard",
                _ => "wrong",
            };
            let x = (column + 1) * CELL;
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{at}\" width=\"{w}\" height=\"{w}\"/><text x=\"{}\" y=\"{}\">{level:.0}</text>",
                x + 4,
                at + 20,
                w = CELL - 2,
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

fn calls(report: &Report) -> String {
    let mut table = String::from(
        "<h2>Calls</h2><table><tr><th>Call<th>Tone, Hz<th>Heard<th>Ended by<th>Set-up, ms<th>Loss, %<th>Longest gap, ms<th>What, or why not</tr>",
    );
    for (n, call) in report.calls.iter().enumerate() {
        let setup = call.setup_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
        let _ = write!(
            table,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{setup}<td>{:.2}<td>{:.0}<td>{}</tr>",
            n + 1,
            call.tone_hz,
            if call.heard { "yes" } else { "no" },
            call.ended_by,
            call.loss * 100.0,
            call.max_gap_ms,
            escaped(call.error.as_deref().or(call.about.as_deref()).unwrap_or("")),
        );
    }
    table.push_str("</table>");
    table
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const CLASSES: usize = 20;
const CELL: usize = 36;
const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:2em;max-width:60em}table{border-collapse:collapse}\
td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}rect{fill:#3a6ea5}rect.heard{fill:#bfe3c0}\
rect.own{fill:#e6e6e6}rect.wrong{fill:#f2a6a0}text{font-size:12px}h1.failed{color:#b3261e}h1.passed{color:#1b6e2d}";
