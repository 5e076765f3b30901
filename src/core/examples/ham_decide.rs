//! Decides pairs of values as HAM does at equal stamps, to be compared with another implementation.
//!
//! Each line of standard input is `{"a":value,"b":value}`; each line of standard output is `a`, `b`, or `=` when both have
//! the same text (GUN keeps what it has then, and entries compare ids).

use std::{
    cmp::Ordering,
    error::Error,
    io::{BufRead as _, BufWriter, Write as _},
};

use rustdht_core::{ham, json};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Pair<'a> {
    #[serde(borrow)]
    a: &'a RawValue,
    #[serde(borrow)]
    b: &'a RawValue,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let pair: Pair<'_> = serde_json::from_str(&line)?;
        let winner = match ham::compare_values(&json::read(pair.a)?, &json::read(pair.b)?) {
            Ordering::Greater => "a",
            Ordering::Less => "b",
            Ordering::Equal => "=",
        };
        writeln!(out, "{winner}")?;
    }
    out.flush()?;
    Ok(())
}
