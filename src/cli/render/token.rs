//! Tokens: the list, without their secrets.
use crate::api::access::Token;
use crate::cli::render::table::{Row, Style, Tone, or_dash, table};

pub fn list(tokens: &[Token], style: Style) -> String {
    if tokens.is_empty() {
        return "no tokens but the first one, in admin.token in the data directory\n".to_owned();
    }
    let row = |token: &Token| {
        let state = if token.valid {
            "valid"
        } else if token.revoked.is_some() {
            "revoked"
        } else {
            "expired"
        };
        let tone = if token.valid { Tone::Plain } else { Tone::Faint };
        let day = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%MZ").to_string();
        let cells = [
            token.token_id.to_string(),
            token.role.to_string(),
            state.to_owned(),
            day(token.created),
            or_dash(token.expires.map(day)),
            token.created_by.clone(),
            token.name.clone(),
        ];
        Row::new(tone, cells)
    };
    let rows: Vec<Row> = tokens.iter().map(row).collect();
    table(style, &["token", "role", "state", "created", "expires", "by", "name"], &rows)
}
