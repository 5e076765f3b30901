//! The OpenAPI document, built from the handlers.

use utoipa::openapi::{
    ComponentsBuilder, Info, License, OpenApi, OpenApiBuilder,
    security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};

use crate::{routes, schema};

/// What the handlers do not say: title, version, licence, authentication.
pub(crate) fn frame() -> OpenApi {
    let mut info = Info::new("RustDHT gateway", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "A mutable graph that many gateways share, and blobs as CIDs. Errors are `application/problem+json` (RFC 9457) \
         with a stable `code`; `/errors/{code}` explains each. Without a token a direct request on loopback acts as the \
         owner; any other caller may read public nodes and files. Tokens are biscuits with scopes: `read`, `write` \
         (includes `read`), `admin` (includes all)."
            .to_owned(),
    );
    info.license = Some(License::new(env!("CARGO_PKG_LICENSE")));
    let (name, problem) = <schema::ProblemAnswer as utoipa::ToResponse<'_>>::response();
    let components = ComponentsBuilder::new()
        .response(name, problem)
        .schema_from::<schema::Problem>()
        .security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::default(), SecurityRequirement::new("token", [""; 0])]))
        .build()
}

/// The document of everything that [`crate::router`] serves.
#[must_use]
pub fn openapi() -> OpenApi {
    let (_, mut document) = routes::documented().split_for_parts();
    // axum's mark of a parameter that spans slashes is not part of OpenAPI.
    document.paths.paths = std::mem::take(&mut document.paths.paths)
        .into_iter()
        .map(|(path, item)| (path.replace("{*", "{"), item))
        .collect();
    document
}

/// The document as JSON, as docs/api/openapi.json holds it.
#[must_use]
pub fn openapi_json() -> String {
    openapi().to_pretty_json().map(|json| json + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_what_the_handlers_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api/openapi.json");
        let built = openapi_json();
        if std::env::var_os("RUSTDHT_UPDATE").is_some() {
            std::fs::write(path, &built).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == built,
            "docs/api/openapi.json is old: RUSTDHT_UPDATE=1 cargo test -p rustdht-gateway openapi"
        );
    }

    #[test]
    fn every_reference_leads_somewhere_and_operations_have_names_of_their_own() {
        let json: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
        let mut references = Vec::new();
        let mut names = Vec::new();
        walk(&json, &mut references, &mut names);
        assert!(!references.is_empty() && names.len() > 20);
        for reference in references {
            assert!(json.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    fn walk(json: &serde_json::Value, references: &mut Vec<String>, names: &mut Vec<String>) {
        match json {
            serde_json::Value::Object(members) => {
                for (key, value) in members {
                    match (key.as_str(), value.as_str()) {
                        ("$ref", Some(reference)) => references.push(reference.to_owned()),
                        ("operationId", Some(name)) => names.push(name.to_owned()),
                        _ => walk(value, references, names),
                    }
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, references, names)),
            _ => {}
        }
    }
}
