//! A ladder of text: a column for each phone or carrier, ours among them.

use std::net::SocketAddr;

use super::Message;

/// Draws it; ours is the second column, behind whoever called.
pub(super) fn ladder(messages: &[Message]) -> String {
    if messages.is_empty() {
        return "no messages of this call are kept any more".to_owned();
    }
    let mut remotes: Vec<SocketAddr> = Vec::new();
    for message in messages {
        if !remotes.contains(&message.remote) {
            remotes.push(message.remote);
        }
    }
    // Beyond that a line is too wide for any window.
    remotes.truncate(COLUMNS_MAX);
    let mut heads: Vec<String> = remotes.iter().map(ToString::to_string).collect();
    heads.insert(1.min(heads.len()), "sidetone".to_owned());
    let mut text = format!("{:<TIME_WIDTH$}", "");
    for head in &heads {
        text += &format!("{head:^WIDTH$}");
    }
    for message in messages {
        text.truncate(text.trim_end().len());
        text += "\n";
        text += &row(message, &remotes, heads.len());
    }
    text
}

fn row(message: &Message, remotes: &[SocketAddr], columns: usize) -> String {
    let at = remotes.iter().position(|remote| *remote == message.remote);
    let mut label = match message.status {
        0 => message.method.clone(),
        status => format!("{status} {}", message.method),
    };
    if message.has_sdp {
        label += " (sdp)";
    }
    let mut cells: Vec<char> = vec![' '; columns * WIDTH];
    (0..columns).for_each(|column| cells[column * WIDTH + WIDTH / 2] = '│');
    let Some(at) = at else {
        return format!(
            "{:<TIME_WIDTH$}{}  {label} {}",
            message.time,
            cells.iter().collect::<String>(),
            message.remote
        );
    };
    let theirs = if at == 0 { 0 } else { at + 1 };
    let (left, right) = (theirs.min(1) * WIDTH + WIDTH / 2, theirs.max(1) * WIDTH + WIDTH / 2);
    cells[left + 1..right].fill('─');
    let points_right = message.received == (at == 0);
    if points_right {
        cells[right - 1] = '▶';
    } else {
        cells[left + 1] = '◀';
    }
    let label = format!(" {label} ");
    // Beside ours, where the eye follows; a wide arrow crosses other columns.
    let room = right - left - 3;
    let from = left + 2 + room.saturating_sub(label.chars().count()) / 2;
    for (cell, letter) in cells[from..right - 1].iter_mut().zip(label.chars()) {
        *cell = letter;
    }
    format!("{:<TIME_WIDTH$}{}", message.time, cells.iter().collect::<String>())
}

/// Characters of one column.
const WIDTH: usize = 30;
const TIME_WIDTH: usize = 16;
const COLUMNS_MAX: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_stands_between_ours_and_its_phone() {
        let message = |port: u16, received: bool, method: &str, status: u16| {
            let remote = SocketAddr::from(([127, 0, 0, 1], port));
            Message {
                at_unix_us: 0,
                time: "12:00:00.000000".to_owned(),
                leg_id: String::new(),
                replica_id: String::new(),
                transport: "udp",
                from: remote,
                to: remote,
                remote,
                received,
                method: method.to_owned(),
                status,
                has_sdp: status == 0,
                message: String::new(),
                bytes: Vec::new(),
            }
        };
        let messages = [
            message(1, true, "INVITE", 0),
            message(2, false, "INVITE", 0),
            message(2, true, "INVITE", 180),
            message(1, false, "INVITE", 200),
        ];
        let text = ladder(&messages);
        let lines: Vec<&str> = text.lines().collect();
        let heads: Vec<&str> = lines[0].split_whitespace().collect();
        assert_eq!(heads, ["127.0.0.1:1", "sidetone", "127.0.0.1:2"]);
        let bare: Vec<String> =
            lines[1..].iter().map(|line| line.replace(['─', ' '], "")[15..].to_owned()).collect();
        let expected = ["│INVITE(sdp)▶││", "││INVITE(sdp)▶│", "││◀180INVITE│", "│◀200INVITE││"];
        assert_eq!(bare, expected);
        assert!(lines[1..].iter().all(|line| line.find('│') == lines[1].find('│')));
    }
}
