//! The routes below `/fake/`, by which another program sees and changes a fake hub.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Hub;
use super::answer::Answer;
use super::library::LibraryModel;
use super::misbehaviour::{Part, Rule};
use super::pace::Limits;
use super::repository::Repository;
use super::request::Request;
use super::world::Account;

/// What can be added while a hub runs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Addition {
    Repository(Box<Repository>),
    Model(Box<LibraryModel>),
    Account(Account),
}

/// Answers a request to the hub as a fake; `None` for any other.
pub(super) fn answer(hub: &Hub, request: &Request) -> Option<Answer> {
    let path = request.path.strip_prefix("/fake/")?;
    let done = || Answer::json(Part::Other, 200, json!({}));
    let answer = match (request.method.as_str(), path) {
        ("GET", "hosts") => Answer::json(Part::Other, 200, hub.hosts()),
        ("GET", "seen") => Answer::json(Part::Other, 200, json!(hub.seen())),
        ("GET", "sent") => Answer::json(Part::Other, 200, json!({ "bytes": hub.bytes_sent("") })),
        ("POST", "forget") => {
            hub.forget_seen();
            done()
        }
        ("POST", "rules") => with(request, |rule: Rule| hub.rule(rule)),
        ("DELETE", "rules") => {
            hub.clear_rules();
            done()
        }
        ("POST", "limits") => with(request, |limits: Limits| hub.limit(limits)),
        ("POST", "additions") => with(request, |addition: Addition| match addition {
            Addition::Repository(repository) => hub.put(*repository),
            Addition::Model(model) => hub.put_model(*model),
            Addition::Account(account) => hub.change(|world| world.accounts.push(account)),
        }),
        _ => Answer::text(Part::Other, 404, "there is no such thing below `/fake/`"),
    };
    Some(answer)
}

fn with<T: DeserializeOwned>(request: &Request, action: impl FnOnce(T)) -> Answer {
    match serde_json::from_slice(&request.body) {
        Ok(value) => {
            action(value);
            Answer::json(Part::Other, 200, json!({}))
        }
        Err(error) => Answer::text(Part::Other, 400, &error.to_string()),
    }
}
