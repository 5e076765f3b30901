//! The state of this gateway, its peers, its invite.

use axum::{
    Json,
    extract::{Request, State as Shared},
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use rustdht_core::ports::{NetworkStatus, PeerStatus};
use rustdht_node::{GraphStatus, Identity};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    auth::{Admin, Reader},
    body,
    problem::Problem,
    rfc3339,
    routes::measured,
    schema,
};

const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

type Answer<T> = Result<([(HeaderName, HeaderValue); 1], Json<T>), Problem>;

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(measured(routes!(get_status)))
        .routes(measured(routes!(get_peers, post_peer)))
        .routes(measured(routes!(get_invite)))
}

/// Read the state of this gateway.
///
/// Without scope `admin` a caller sees the network, so that a client can sign, and the version.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "operation",
    responses(
        (status = 200, description = "The state", body = schema::Status),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_status(Shared(state): Shared<State>, Reader(caller): Reader) -> Answer<schema::Status> {
    let identity = state.node().identity();
    let detail = if caller.may_administer().is_ok() { Some(detail(&state, identity).await?) } else { None };
    let network = schema::Network {
        id: identity.net.to_string(),
        name: identity.name.clone(),
        mode: identity.mode.as_str().to_owned(),
    };
    Ok((NO_STORE, Json(schema::Status { version: env!("CARGO_PKG_VERSION").to_owned(), network, detail })))
}

async fn detail(state: &State, identity: &Identity) -> Result<schema::StatusDetail, Problem> {
    let (graph, swarm) = state.node().status().await?;
    let (blocks, bytes) = state.node().blobs().totals().await;
    let placement = identity.placement;
    Ok(schema::StatusDetail {
        listen: state.listen().to_string(),
        gateway: identity.gateway.to_string(),
        community: identity.community.to_string(),
        placement: schema::Placement {
            partitions: placement.partitions,
            replicas: placement.replicas,
            write_quorum: placement.write_quorum,
            horizon_days: placement.horizon_days,
        },
        graph: graph.into(),
        blobs: schema::Blobs { blocks, bytes },
        swarm: swarm.map(Into::into),
    })
}

impl From<GraphStatus> for schema::Graph {
    fn from(graph: GraphStatus) -> Self {
        Self {
            entries: graph.entries,
            commits: graph.commits,
            database_bytes: graph.database_bytes,
            deferred: graph.deferred,
            may_endorse: graph.may_endorse,
            clock: graph.clock.to_string(),
            feed: graph.feed,
        }
    }
}

impl From<NetworkStatus> for schema::Swarm {
    fn from(swarm: NetworkStatus) -> Self {
        Self {
            id: swarm.id.0,
            listen: swarm.listen,
            replicas: swarm.replicas,
            write_quorum: swarm.write_quorum,
            reachable: swarm.reachable,
            indexed: swarm.indexed,
        }
    }
}

/// List the peers known.
///
/// Needs scope `admin`.
#[utoipa::path(
    get, path = "/api/v1/peers", tag = "operation",
    responses(
        (status = 200, description = "The peers", body = schema::Peers),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_peers(Shared(state): Shared<State>, _: Admin) -> Answer<schema::Peers> {
    let peers = state.node().peers().await?.into_iter().map(Into::into).collect();
    Ok((NO_STORE, Json(schema::Peers { peers })))
}

impl From<PeerStatus> for schema::Peer {
    fn from(peer: PeerStatus) -> Self {
        Self {
            id: peer.id.0,
            connected: peer.connected,
            addresses: peer.addresses,
            rtt_us: peer.rtt_us,
            in_sync: peer.in_sync,
            seen: (peer.seen_ms > 0).then(|| rfc3339::from_ms(peer.seen_ms)),
            replica: peer.replica,
            guest: peer.guest,
        }
    }
}

/// Dial a peer.
///
/// The address is remembered and dialled again after a restart. Needs scope `admin`.
#[utoipa::path(
    post, path = "/api/v1/peers", tag = "operation",
    request_body = schema::PeerAddress,
    responses(
        (status = 202, description = "It is being dialled", body = schema::PeerAddress),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_peer(
    Shared(state): Shared<State>,
    _: Admin,
    request: Request,
) -> Result<(StatusCode, Json<schema::PeerAddress>), Problem> {
    let (parts, body) = request.into_parts();
    let peer: schema::PeerAddress = body::json(&parts.headers, body).await?;
    state.node().dial(&peer.address).await.map_err(|error| Problem::from(error).at("address"))?;
    Ok((StatusCode::ACCEPTED, Json(peer)))
}

/// Make an invite.
///
/// Whoever has it can join the network: it holds the network's secret and the addresses of this gateway. Needs scope
/// `admin`.
#[utoipa::path(
    get, path = "/api/v1/invite", tag = "operation",
    responses(
        (status = 200, description = "The invite", body = schema::Invite),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_invite(Shared(state): Shared<State>, _: Admin) -> Answer<schema::Invite> {
    let invite = state.node().invite().await?;
    Ok((NO_STORE, Json(schema::Invite { invite })))
}
