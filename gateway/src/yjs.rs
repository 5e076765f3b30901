//! The Yjs door: a field of kind text, list or map as a document that stock Yjs editors attach to, over the y-websocket
//! protocol. What a frame means is the node's business; here it is only passed on.

use std::time::Duration;

use axum::{
    extract::{
        Request, State as Shared,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use bytes::Bytes;
use rustdht_core::{Field, Refusal, Soul};
use rustdht_node::{Close, DocumentHandle, MAX_DOCUMENT_FRAME_BYTES, Outbox, Outgoing, UserTag};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    auth::{Caller, Socket, TokenQuery},
    codes::HttpCode,
    problem::Problem,
    query,
    routes::measured,
    schema,
};

const PREFIX: &str = "/api/v1/yjs/";
/// A message of this size is still read, so that its sender can be told why it is refused.
const MAX_MESSAGE_BYTES: usize = 2 * MAX_DOCUMENT_FRAME_BYTES;
/// What is written but not taken by the socket.
const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// How often a silent client is asked whether it lives, and its token whether it still stands. y-websocket takes 30 s of
/// silence for the end; proxies often one minute.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A client that answers nothing for this long is gone: two pings, and the time of the answer.
const SILENCE: Duration = Duration::from_secs(45);
/// A client that takes nothing of a frame for this long is cut off.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// The close code for a token that ended.
const UNAUTHENTICATED: u16 = 4401;

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(get_document)))
}

/// Edit a document.
///
/// A WebSocket that speaks the protocol of y-websocket (Yjs sync version 1 and awareness). A field of kind text, list or map
/// opens, and an absent one: its first change makes it a text. In awareness the gateway sets `user.id` and `user.name`.
/// Who may not write may watch. Close codes: 4401 the token ended, 4403 not yours, 4409 resolved otherwise and 4410 deleted (open
/// it again with an empty `Y.Doc`), 4413 too large, 4429 too slow. Needs scope `read`, and `write` to change anything.
#[utoipa::path(
    get, path = "/api/v1/yjs/{soul}/{field}", tag = "live",
    params(
        ("soul" = String, Path, description = "The soul, percent-encoded in one segment"),
        ("field" = String, Path, description = "The field, percent-encoded in one segment; y-websocket's room"),
        TokenQuery,
    ),
    responses(
        (status = 101, description = "The WebSocket is open"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_document(
    Shared(state): Shared<State>,
    Socket(caller): Socket,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Result<Response, Problem> {
    // Not the request itself, which must not be shared across an await.
    let uri = request.uri();
    let part = |at, name| query::segment(uri, PREFIX, at, name);
    let soul: Soul = part(0, "soul")?.parse().map_err(|refusal: Refusal| Problem::from(refusal).at("soul"))?;
    let field: Field = part(1, "field")?.parse().map_err(|refusal: Refusal| Problem::from(refusal).at("field"))?;
    let reader = caller.may_read(&soul)?;
    let upgrade = upgrade.map_err(|rejection| {
        Problem::malformed(format!("a document is opened as a WebSocket: {}", rejection.body_text()))
    })?;
    let place = state.editors().clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::new(HttpCode::Overloaded, "too many editors are connected"))?;
    let (by, may_write) = caller.may_write(&soul).map_or((reader, false), |writer| (writer, true));
    let user = state.user_tag(&caller).map(|(id, name)| UserTag { id, name });
    let (handle, outbox) = state.node().open_document(&soul, &field, by, may_write, user).await?;
    let editor = Editor { state, caller, handle, outbox, _place: place };
    Ok(upgrade
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES + MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| editor.serve(socket)))
}

struct Editor {
    state: State,
    caller: Caller,
    handle: DocumentHandle,
    outbox: Outbox,
    _place: OwnedSemaphorePermit,
}

/// What a connection did next.
enum Next {
    Goes,
    Ends,
    Closed(u16, &'static str),
}

impl From<Close> for Next {
    fn from(close: Close) -> Self {
        Self::Closed(close.code(), close.reason())
    }
}

impl Editor {
    async fn serve(mut self, mut socket: WebSocket) {
        let stopping = self.state.stopping().clone();
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let next = tokio::select! {
                () = stopping.cancelled() => Close::Stopping.into(),
                outgoing = self.outbox.next() => match outgoing {
                    Outgoing::Frame(frame) => send(&mut socket, Message::Binary(frame)).await,
                    Outgoing::Close(close) => close.into(),
                },
                message = socket.recv() => {
                    heard = Instant::now();
                    self.take(message).await
                }
                _ = ping.tick() => {
                    if self.caller.still_stands(&self.state).is_err() {
                        Next::Closed(UNAUTHENTICATED, "the token is good no more")
                    } else if heard.elapsed() > SILENCE {
                        Next::Ends
                    } else {
                        send(&mut socket, Message::Ping(Bytes::new())).await
                    }
                }
            };
            match next {
                Next::Goes => {}
                Next::Ends => return,
                Next::Closed(code, reason) => {
                    let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
                    send(&mut socket, close).await;
                    return;
                }
            }
        }
    }

    async fn take(&mut self, message: Option<Result<Message, axum::Error>>) -> Next {
        match message {
            Some(Ok(Message::Binary(frame))) => match self.handle.receive(frame).await {
                Ok(()) => Next::Goes,
                Err(close) => close.into(),
            },
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Next::Goes,
            // The protocol is binary.
            Some(Ok(Message::Text(_))) => Close::Malformed.into(),
            Some(Ok(Message::Close(_))) | None => Next::Ends,
            Some(Err(error)) => {
                tracing::debug!(%error, "an editor's connection ended early");
                if is_too_large(&error) { Close::TooLarge.into() } else { Next::Ends }
            }
        }
    }
}

/// Whether a message was given up because of its size.
fn is_too_large(error: &axum::Error) -> bool {
    error.to_string().starts_with("Space limit exceeded")
}

async fn send(socket: &mut WebSocket, message: Message) -> Next {
    match timeout(SEND_TIMEOUT, socket.send(message)).await {
        Ok(Ok(())) => Next::Goes,
        Ok(Err(_)) | Err(_) => Next::Ends,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_beyond_the_bound_of_the_socket_is_told_apart() {
        // As tungstenite says it; the type is not to be had through axum.
        let text = "Space limit exceeded: Message too long: 17 > 16";
        assert!(is_too_large(&axum::Error::new(std::io::Error::other(text))));
        assert!(!is_too_large(&axum::Error::new(std::io::Error::other("Connection reset"))));
    }
}
