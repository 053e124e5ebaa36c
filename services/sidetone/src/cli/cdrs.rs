//! `sidetone cdrs`.

use sidetone_proto::callcontrol::v1::{Cdr, QueryCdrsRequest, cdr::Kind};
use tokio_stream::StreamExt as _;

use super::client::explain;
use super::output::{Moment, call_id, duration, line, rows, time};
use super::{ClientArgs, Output};

/// Call detail records: one per leg, one of how it sounded, and one per call.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone cdrs                              what is kept
  sidetone cdrs --output csv > cdrs.csv
  sidetone cdrs --follow --output json       one JSON line each, as calls end
Columns of CSV and keys of JSON are the fields of callcontrol.v1.Cdr.")]
pub(crate) struct CdrsArgs {
    /// Only of this call.
    #[arg(long, value_parser = call_id)]
    call: Option<String>,
    /// Ended at or after, for example 2026-11-21 or 2026-11-21T08:00:00Z.
    #[arg(long)]
    from: Option<Moment>,
    /// Ended before.
    #[arg(long)]
    until: Option<Moment>,
    /// Only of calls in which this number called or was called.
    #[arg(long, default_value = "", hide_default_value = true)]
    number: String,
    /// Wait for new ones.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    client: ClientArgs,
}

const COLUMNS: [&str; 40] = [
    "kind",
    "tenant",
    "call_id",
    "leg_id",
    "direction",
    "from_number",
    "from_user",
    "to_number",
    "to_user",
    "device",
    "started_unix_ms",
    "answered_unix_ms",
    "ended_unix_ms",
    "talk_ms",
    "outcome",
    "cause",
    "sip_status",
    "text",
    "node_id",
    "replica_id",
    "sip_call_id",
    "recording_ids",
    "trunk",
    "answered_by",
    "was_asleep",
    "woken_unix_ms",
    "encoding",
    "packets_received",
    "packets_lost",
    "packets_late",
    "packets_sent",
    "jitter_us",
    "round_trip_us",
    "rating",
    "mean_opinion_hundredths",
    "far_mean_opinion_hundredths",
    "proof",
    "first_call_id",
    "transferred_by_number",
    "transferred_by_user",
];

pub(crate) async fn run(args: CdrsArgs) -> anyhow::Result<()> {
    let millis = |moment: Option<Moment>| moment.map_or(0, Moment::unix_ms);
    let number = args.number;
    let wanted = |cdr: &Cdr| number.is_empty() || cdr.from_number == number || cdr.to_number == number;
    let request = QueryCdrsRequest {
        tenant: args.client.tenant.clone(),
        from_unix_ms: millis(args.from),
        until_unix_ms: millis(args.until),
        call_id: args.call.unwrap_or_default(),
        follow: args.follow,
    };
    let mut stream = args.client.calls()?.query_cdrs(request).await.map_err(|s| explain(&s))?.into_inner();
    if args.follow {
        while let Some(cdr) = stream.next().await {
            let cdr = cdr.map_err(|s| explain(&s))?;
            if wanted(&cdr) {
                line(&serde_json::to_string(&cdr)?)?;
            }
        }
        return Ok(());
    }
    let mut cdrs = Vec::new();
    while let Some(cdr) = stream.next().await {
        cdrs.extend(Some(cdr.map_err(|s| explain(&s))?).filter(wanted));
    }
    match args.client.output {
        Output::Csv => rows(Output::Csv, &COLUMNS, &cdrs, full_row),
        output => rows(
            output,
            &[
                "kind",
                "from",
                "proof",
                "to",
                "trunk",
                "answered by",
                "ended",
                "talk",
                "outcome",
                "cause",
                "mos",
                "lost",
                "call_id",
            ],
            &cdrs,
            short_row,
        ),
    }
}

fn short_row(cdr: &Cdr) -> Vec<String> {
    let kind = match cdr.kind() {
        Kind::Leg => format!("leg {}", cdr.direction),
        Kind::Quality => format!("sound {}", cdr.direction),
        Kind::Call | Kind::Unspecified => "call".to_owned(),
    };
    let (mos, lost) = match cdr.kind() {
        Kind::Quality => {
            let expected = (cdr.packets_received + cdr.packets_lost).max(1) as f64;
            let mos = format!("{:.2}", f64::from(cdr.mean_opinion_hundredths) / 100.0);
            (mos, format!("{:.1} %", cdr.packets_lost as f64 * 100.0 / expected))
        }
        _ => (String::new(), String::new()),
    };
    vec![
        kind,
        cdr.from_number.clone(),
        cdr.proof.clone(),
        cdr.to_number.clone(),
        cdr.trunk.clone(),
        cdr.answered_by.clone(),
        time(cdr.ended_unix_ms),
        duration(cdr.talk_ms),
        cdr.outcome.clone(),
        cdr.cause.clone(),
        mos,
        lost,
        cdr.call_id.clone(),
    ]
}

fn full_row(cdr: &Cdr) -> Vec<String> {
    vec![
        cdr.kind().as_str_name().trim_start_matches("KIND_").to_lowercase(),
        cdr.tenant.clone(),
        cdr.call_id.clone(),
        cdr.leg_id.clone(),
        cdr.direction.clone(),
        cdr.from_number.clone(),
        cdr.from_user.clone(),
        cdr.to_number.clone(),
        cdr.to_user.clone(),
        cdr.device.clone(),
        cdr.started_unix_ms.to_string(),
        cdr.answered_unix_ms.to_string(),
        cdr.ended_unix_ms.to_string(),
        cdr.talk_ms.to_string(),
        cdr.outcome.clone(),
        cdr.cause.clone(),
        cdr.sip_status.to_string(),
        cdr.text.clone(),
        cdr.node_id.clone(),
        cdr.replica_id.clone(),
        cdr.sip_call_id.clone(),
        cdr.recording_ids.join(" "),
        cdr.trunk.clone(),
        cdr.answered_by.clone(),
        cdr.was_asleep.to_string(),
        cdr.woken_unix_ms.to_string(),
        cdr.encoding.clone(),
        cdr.packets_received.to_string(),
        cdr.packets_lost.to_string(),
        cdr.packets_late.to_string(),
        cdr.packets_sent.to_string(),
        cdr.jitter_us.to_string(),
        cdr.round_trip_us.to_string(),
        cdr.rating.to_string(),
        cdr.mean_opinion_hundredths.to_string(),
        cdr.far_mean_opinion_hundredths.to_string(),
        cdr.proof.clone(),
        cdr.first_call_id.clone(),
        cdr.transferred_by_number.clone(),
        cdr.transferred_by_user.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_has_every_field_that_json_has() {
        let json = serde_json::to_value(Cdr::default()).unwrap();
        let mut fields: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut columns = COLUMNS.to_vec();
        fields.sort_unstable();
        columns.sort_unstable();
        assert_eq!(columns, fields);
        assert_eq!(full_row(&Cdr::default()).len(), COLUMNS.len());
    }
}
