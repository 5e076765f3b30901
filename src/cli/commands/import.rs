//! `rustdht import`

mod answer;
mod archive;
mod state;

use std::path::PathBuf;

use futures::StreamExt as _;
use reqwest::{Body, Method, Response, header};
use tokio_util::io::ReaderStream;

use self::{
    answer::{Line, Lines},
    state::State,
};
use super::add;
use crate::{
    args::Global,
    client::Client,
    exit::{self, Exit, coded},
    output::{Output, Progress, count, rate},
};

/// Bytes read from the file at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Line errors told in full; the rest are counted.
const MAX_ERRORS_TOLD: u64 = 20;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each line is a node: {\"soul\":\"people/ada\",\"data\":{\"name\":\"Ada\",\"knows\":{\"@set\":[{\"#\":\"people/charles\"}]}}}
Sets are added to. Importing the same lines again changes nothing.

A file that ends in .car or begins like one is an archive of blocks; its roots are printed.

Examples:
  rustdht import graph.ndjson --resume
  rustdht import site.car
  rustdht export --api http://other:8480 | rustdht import -"
)]
pub(crate) struct Arguments {
    /// The file, or `-` for stdin
    file: PathBuf,
    /// Begin at this line; the ones before it are skipped
    #[arg(long, value_name = "LINE", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "resume")]
    from: Option<u64>,
    /// Note what is durable in FILE.rustdht-import, and go on from there if that file exists
    #[arg(long)]
    resume: bool,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let output = global.output();
    let stdin = arguments.file.as_os_str() == "-";
    if stdin && arguments.resume {
        return Err(coded(Exit::Usage, "--resume needs a file; for stdin, feed the same lines again with --from LINE"));
    }
    let (reader, total) = add::open(&arguments.file).await?;
    let (head, reader) = archive::head(reader).await?;
    if archive::is_one(&arguments.file, &head) {
        if arguments.resume || arguments.from.is_some() {
            return Err(coded(Exit::Usage, "an archive is imported whole; --from and --resume are for graphs"));
        }
        return archive::run(&client, output, reader, total).await;
    }
    let mut state = arguments.resume.then(|| State::of(&arguments.file, client.base(), total)).transpose()?;
    let first = arguments.from.or(state.as_ref().map(State::next)).unwrap_or(1);
    if first > 1 {
        output.say(format!("going on at line {}", count(first)));
    }
    let progress = Progress::bytes(total);
    let counted = progress.clone();
    let body = ReaderStream::with_capacity(reader, PIECE_BYTES).inspect(move |piece| {
        if let Ok(piece) = piece {
            counted.advance(piece.len() as u64);
        }
    });
    let request = client
        .stream(Method::POST, &format!("/api/v1/import?from={first}"))
        .header(header::CONTENT_TYPE, "application/x-ndjson")
        .body(Body::wrap_stream(body));
    let mut run = Run { durable: first - 1, ..Run::default() };
    let ended = match client.send(request).await {
        Ok(answer) => run.read(&client, answer, &progress, state.as_mut(), output).await,
        Err(error) => Err(error),
    };
    progress.finish();
    match ended {
        Ok(()) => {
            if let Some(state) = state {
                state.remove()?;
            }
            run.finish(output)
        }
        Err(error) if exit::of(&error) == Exit::Unreachable && run.started.is_some() => {
            let again = if stdin { "feed the same lines again to" } else { "go on with" };
            let how = if arguments.resume { "--resume".to_owned() } else { format!("--from {}", run.durable + 1) };
            let next = format!("rustdht import {} {how}", quoted(&arguments.file));
            let done = if run.durable == 0 {
                "nothing is durable yet".to_owned()
            } else {
                format!("every line up to {} is durable", run.durable)
            };
            Err(coded(Exit::Unreachable, format!("{error}\n{done}; {again}: {next}")))
        }
        Err(error) => Err(error),
    }
}

/// What the gateway told so far.
#[derive(Debug, Default)]
struct Run {
    durable: u64,
    nodes: u64,
    fields: u64,
    errors: u64,
    done: bool,
    started: Option<tokio::time::Instant>,
}

impl Run {
    async fn read(
        &mut self,
        client: &Client,
        mut answer: Response,
        progress: &Progress,
        mut state: Option<&mut State>,
        output: Output,
    ) -> anyhow::Result<()> {
        self.started = Some(tokio::time::Instant::now());
        let mut lines = Lines::default();
        while let Some(bytes) = answer.chunk().await.map_err(|error| client.unreachable(&error))? {
            for text in lines.feed(&bytes)? {
                if output.json {
                    output.line(&text)?;
                }
                self.take(answer::read(&text)?, progress, output);
                if let Some(state) = state.as_deref_mut() {
                    state.save(self.durable)?;
                }
            }
        }
        if self.done { Ok(()) } else { Err(coded(Exit::Unreachable, "the answer ended early: the gateway stopped")) }
    }

    fn take(&mut self, line: Line, progress: &Progress, output: Output) {
        match line {
            Line::Progress { line, nodes, fields } => {
                (self.durable, self.nodes, self.fields) = (line.max(self.durable), nodes, fields);
                let elapsed = self.started.map(|started| started.elapsed()).unwrap_or_default();
                progress.message(format!("{} nodes, {} fields/s", count(nodes), count(rate(fields, elapsed))));
            }
            Line::Error { line, text } => {
                self.errors += 1;
                if self.errors <= MAX_ERRORS_TOLD && !output.json {
                    progress.above(|| output.say(format!("line {line}: {text}")));
                }
            }
            Line::Done { nodes, fields } => {
                self.done = true;
                (self.nodes, self.fields) = (nodes, fields);
            }
            Line::Other => {}
        }
    }

    fn finish(&self, output: Output) -> anyhow::Result<()> {
        let elapsed = self.started.map(|started| started.elapsed()).unwrap_or_default();
        if !output.json {
            output.say(format!(
                "imported {} nodes, {} fields in {:.1} s ({} fields/s), durable",
                count(self.nodes),
                count(self.fields),
                elapsed.as_secs_f64(),
                count(rate(self.fields, elapsed)),
            ));
        }
        match self.errors {
            0 => Ok(()),
            1 => Err(coded(Exit::Failure, "one line was refused; the others are in")),
            errors => Err(coded(Exit::Failure, format!("{} lines were refused; the others are in", count(errors)))),
        }
    }
}

/// The file as a shell takes it.
fn quoted(file: &std::path::Path) -> String {
    let text = file.display().to_string();
    if text.chars().all(|c| c.is_alphanumeric() || "/._-+".contains(c)) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_quoted_for_the_shell() {
        assert_eq!(quoted("a/b-1.ndjson".as_ref()), "a/b-1.ndjson");
        assert_eq!(quoted("it's here".as_ref()), r"'it'\''s here'");
    }

    #[test]
    fn progress_errors_and_the_end_are_counted() {
        let (mut run, bar, output) = (Run::default(), Progress::bytes(None), Output { json: true });
        for text in [
            r#"{"progress":{"line":10,"nodes":9,"fields":30}}"#,
            r#"{"line":4,"error":{"code":"bad_soul","detail":"x"}}"#,
            r#"{"done":{"line":12,"nodes":11,"fields":40}}"#,
        ] {
            run.take(answer::read(text).unwrap(), &bar, output);
        }
        assert_eq!((run.durable, run.nodes, run.fields, run.errors, run.done), (10, 11, 40, 1, true));
        assert_eq!(exit::of(&run.finish(output).unwrap_err()), Exit::Failure);
    }
}
