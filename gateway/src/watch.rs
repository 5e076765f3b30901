//! Watch: changes as Server-Sent Events (WHATWG HTML, section 9.2).

use std::convert::Infallible;

use axum::{
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{StreamExt, stream};
use rustdht_core::json;
use rustdht_node::{Principal, WatchEvent, WatchFilter};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    auth::{Caller, Reader},
    codes::HttpCode,
    limits,
    problem::Problem,
    query,
    routes::measured,
    schema,
    telemetry::Watching,
};

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(get_watch)))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WatchQuery {
    /// One node.
    soul: Option<String>,
    /// Every node whose soul begins so; absent, like `soul`: every node.
    prefix: Option<String>,
}

/// Watch nodes.
///
/// Event `change` says what a node is now (`id` is the number of the change feed), `lost` that changes since
/// `Last-Event-ID` are no longer kept. A client that comes back with `Last-Event-ID` misses nothing; it may be told of
/// a change twice. An id without data comes first: from there on nothing is missed. Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/watch", tag = "live",
    params(WatchQuery, ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event seen")),
    responses(
        (status = 200, description = "Events `change` and `lost`", body = String, content_type = "text/event-stream"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_watch(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    request: Request,
) -> Result<Response, Problem> {
    let filter = filter(query::parse(request.uri())?)?;
    let reader = match &filter {
        WatchFilter::Soul(soul) => caller.may_read(soul)?,
        WatchFilter::Prefix(prefix) => caller.may_read_under(prefix)?,
    };
    if reader == Principal::Anonymous {
        // A watch takes a place of few for as long as it likes.
        caller.may_see()?;
    }
    let seen = last_event_id(request.headers())?;
    let permit = state
        .watchers()
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::new(HttpCode::Overloaded, "too many watches are open"))?;
    let watching = Watching::begin();
    let (holder, ongoing) = (caller.clone(), state.clone());
    let after = seen.unwrap_or_else(|| state.node().last_feed());
    // Without data this is no event, yet a client that loses the connection now comes back with this id.
    let ready = Event::default().comment("ready").id(after.to_string());
    let changes = state
        .node()
        .watch(filter, Some(after), reader)
        .filter(move |event| std::future::ready(is_shown(&caller, event)))
        .map(move |event| {
            let _held = (&permit, &watching);
            event
        });
    let events = stream::iter([Some(ready)])
        .chain(changes.map(|event| event.map_err(|error| tracing::warn!(%error, "a watch ended")).ok().map(print)))
        // A client that is told nothing more would wait for ever; one whose stream ends comes back with its last id.
        .take_while(|event| std::future::ready(event.is_some()))
        .filter_map(|event| std::future::ready(event.map(Ok::<Event, Infallible>)))
        .take_while(move |_| std::future::ready(holder.still_stands(&ongoing).is_ok()))
        .take_until(state.stopping().clone().cancelled_owned());
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(limits::KEEP_ALIVE)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Whether the caller may see what an event is about.
fn is_shown(caller: &Caller, event: &Result<WatchEvent, rustdht_node::Error>) -> bool {
    match event {
        Ok(WatchEvent::Changed { soul, .. }) => caller.sees(soul),
        Ok(WatchEvent::Lost { .. }) | Err(_) => true,
    }
}

fn filter(query: WatchQuery) -> Result<WatchFilter, Problem> {
    match (query.soul, query.prefix) {
        (Some(_), Some(_)) => Err(Problem::malformed("give soul or prefix, not both").at("query")),
        (Some(soul), None) => soul.parse().map(WatchFilter::Soul).map_err(|refusal| Problem::from(refusal).at("soul")),
        (None, prefix) => Ok(WatchFilter::Prefix(prefix.unwrap_or_default())),
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number
        .map(Some)
        .ok_or_else(|| Problem::malformed("Last-Event-ID is the id of an event of this watch").at("last-event-id"))
}

fn print(event: WatchEvent) -> Event {
    match event {
        WatchEvent::Changed { feed, soul, fields, node, more } => {
            let mut data = String::from("{\"soul\":");
            json::write_str(&mut data, &soul);
            data.push_str(",\"fields\":[");
            for (at, field) in fields.iter().enumerate() {
                if at > 0 {
                    data.push(',');
                }
                json::write_str(&mut data, field);
            }
            data.push_str("],\"node\":");
            match node {
                Some(node) => data.push_str(&String::from_utf8_lossy(&node.json)),
                None => data.push_str("null"),
            }
            data.push('}');
            // Several nodes changed under this number: a client that goes now has to be told of it again.
            let id = if more { feed.saturating_sub(1) } else { feed };
            Event::default().event("change").id(id.to_string()).data(data)
        }
        // The id lets a client that comes back after this go on with what is left, instead of losing again.
        WatchEvent::Lost { oldest } => Event::default()
            .event("lost")
            .id(oldest.saturating_sub(1).to_string())
            .data(format!("{{\"oldest\":{oldest}}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let ask = |soul: Option<&str>, prefix: Option<&str>| {
            filter(WatchQuery { soul: soul.map(str::to_owned), prefix: prefix.map(str::to_owned) })
        };
        assert_eq!(ask(None, None).unwrap(), WatchFilter::Prefix(String::new()));
        assert_eq!(ask(None, Some("a/")).unwrap(), WatchFilter::Prefix("a/".into()));
        assert_eq!(ask(Some("a"), None).unwrap(), WatchFilter::Soul("a".parse().unwrap()));
        assert_eq!(ask(Some(""), None).unwrap_err().code(), "bad_soul");
        assert_eq!(ask(Some("a"), Some("b")).unwrap_err().code(), "malformed");
    }

    #[test]
    fn the_id_of_the_last_event() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("last-event-id", HeaderValue::from_static(text));
            last_event_id(&headers)
        };
        assert_eq!(of("7").unwrap(), Some(7));
        assert_eq!(of("x").unwrap_err().code(), "malformed");
        assert_eq!(of("-1").unwrap_err().code(), "malformed");
        assert_eq!(last_event_id(&HeaderMap::new()).unwrap(), None);
    }
}
