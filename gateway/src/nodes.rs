//! Nodes: read, write, delete, follow paths.

pub(crate) mod answer;
mod path;
mod read;
mod target;
mod write;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{State, routes::measured};

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(measured(routes!(read::get_node, write::patch_node, write::put_node, write::delete_node)))
        .routes(measured(routes!(
            read::get_node_by_query,
            write::patch_node_by_query,
            write::put_node_by_query,
            write::delete_node_by_query
        )))
        .routes(measured(routes!(path::follow_path)))
}
