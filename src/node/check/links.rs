//! Links that lead to nothing.

use std::time::Duration;

use rustdht_core::{Field, Soul, Value};
use rustdht_graph::{Action, NodeState, Shown, Wanted};

use super::{CheckEvent, Checker, Fate};
use crate::{At, Error, NodeWrite, Op, Principal, RenderOptions, WriteMode, private};

/// A link in what a node shows.
struct Link {
    field: Field,
    target: Soul,
    /// An element of a set rather than the field's value.
    is_element: bool,
}

fn links_of(state: &NodeState) -> Vec<Link> {
    let mut links = Vec::new();
    for (field, view) in state.views() {
        match view.shown {
            Shown::Value(Value::Link(target)) => links.push(Link { field: field.clone(), target, is_element: false }),
            Shown::Set(elements) => links.extend(elements.into_iter().filter_map(|element| match element {
                Value::Link(target) => Some(Link { field: field.clone(), target, is_element: true }),
                _ => None,
            })),
            _ => {}
        }
    }
    links
}

/// `~K` is the name of a key, which there is whether or not anything was written about it: so the list of members names
/// them, and a new network would not be sound.
fn names_a_key(soul: &Soul) -> bool {
    soul.starts_with('~') && !soul.contains('/')
}

/// Whether the write did not happen because of what it asked for, rather than because the node could not take it.
fn is_no(error: &Error) -> bool {
    matches!(error, Error::Refused(_) | Error::PreconditionFailed(_) | Error::Schema(_))
}

impl Checker {
    /// Looks where the links of a node lead: of a private one, those that the owner of this gateway can read.
    pub(super) async fn links(&mut self, state: &NodeState) -> Result<(), Error> {
        let node = self.node.clone();
        let opened = private::rendered_for(&node.inner.shared.keyring, state, &Principal::Owner);
        for link in links_of(&opened) {
            if names_a_key(&link.target) || self.is_there(&link.target).await? {
                continue;
            }
            let fate = if self.repair { self.mend_link(state.soul(), &link).await? } else { Fate::Dangling };
            let event = CheckEvent::Link {
                soul: state.soul().to_string(),
                field: link.field.to_string(),
                target: link.target.to_string(),
                fate,
            };
            self.find(event, matches!(fate, Fate::Fetched | Fate::Removed));
        }
        Ok(())
    }

    async fn mend_link(&mut self, soul: &Soul, link: &Link) -> Result<Fate, Error> {
        // Nobody to ask is no answer, but it may be so for ever: the link is judged by what is here.
        let _ = self.node.get(&link.target, At::Network, RenderOptions::default()).await;
        self.targets.remove(&link.target);
        if self.is_there(&link.target).await? {
            return Ok(Fate::Fetched);
        }
        let removed =
            if link.is_element { self.remove_element(soul, link).await } else { self.remove_value(soul, link).await };
        match removed {
            Ok(true) => Ok(Fate::Removed),
            Ok(false) => Ok(Fate::Left),
            Err(error) if is_no(&error) => Ok(Fate::Left),
            Err(error) => Err(error),
        }
    }

    async fn remove_element(&self, soul: &Soul, link: &Link) -> Result<bool, Error> {
        let action = Action::Remove(Value::Link(link.target.clone()));
        let op = Op { soul: soul.clone(), field: link.field.clone(), action };
        Ok(self.node.commit(Principal::Owner, vec![op], Duration::ZERO).await?.commit.is_some())
    }

    /// Deletes the field, if it still holds the link.
    async fn remove_value(&self, soul: &Soul, link: &Link) -> Result<bool, Error> {
        let render = RenderOptions { reader: Principal::Owner, ..RenderOptions::default() };
        let Some(now) = self.node.get(soul, At::Local, render).await? else { return Ok(false) };
        let state = self.node.visible_state(soul, Principal::Owner).await?;
        let held = state.view(&link.field).map(|view| view.shown);
        if held != Some(Shown::Value(Value::Link(link.target.clone()))) {
            return Ok(false);
        }
        let write = NodeWrite {
            by: Principal::Owner,
            soul: soul.clone(),
            mode: WriteMode::Patch,
            fields: vec![(link.field.clone(), Wanted::Value(Value::Null))],
            if_match: Some(vec![now.etag.to_string()]),
            if_none_match: None,
            wait: Duration::ZERO,
            render,
        };
        Ok(!self.node.write(write).await?.commits.is_empty())
    }
}
