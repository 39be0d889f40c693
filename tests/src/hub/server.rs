//! The listeners and connections of a fake hub: one blocking thread for each, nothing here is to be clever.

use std::io::BufReader;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use super::Hub;
use super::answer::Answer;
use super::misbehaviour::Part;
use super::pace::Pace;
use super::request::Request;
use super::seen::{Origin, Seen};
use super::send::{After, Line, send};
use super::spoil::spoil;
use super::{cdn, control, huggingface, registry};

/// Begins to take connections for one of the hosts.
pub(super) fn listen(hub: &Hub, origin: Origin, listener: TcpListener) -> JoinHandle<()> {
    // The queue of the standard library overflows at some hundred clients at once.
    rustix::net::listen(&listener, 4_096).unwrap();
    let hub = hub.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if hub.0.ending.load(Ordering::SeqCst) {
                break;
            }
            let Ok(stream) = stream else { continue };
            let hub = hub.clone();
            let number = hub.0.connections.fetch_add(1, Ordering::SeqCst);
            let conversation = move || {
                hub.0.open().insert(number, stream.try_clone().unwrap());
                // An error is a client that is gone.
                let _ = converse(&hub, origin, number, &stream);
                let _ = stream.shutdown(Shutdown::Write);
                hub.0.open().remove(&number);
            };
            std::thread::Builder::new().stack_size(512 * 1024).spawn(conversation).unwrap();
        }
    })
}

/// Makes a listener that is waiting notice that the hub has ended.
pub(super) fn wake(address: SocketAddr) {
    let _ = TcpStream::connect(address);
}

fn converse(hub: &Hub, origin: Origin, connection: u64, stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(bytes) = hub.0.limits().send_buffer {
        rustix::net::sockopt::set_socket_send_buffer_size(stream, bytes as usize)?;
    }
    let own = Pace::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        let (answer, entry) = if let Some(answer) = control::answer(hub, &request) {
            (answer, None)
        } else {
            let (answer, entry) = respond(hub, origin, connection, &request);
            (answer, Some(entry))
        };
        let note = |count| hub.0.note(entry, |seen| seen.sent += count);
        let line = Line { stream, limits: hub.0.limits(), total: &hub.0.pace, own: &own, ending: &hub.0.ending, sent: &note };
        let sent = send(&line, &answer, request.is_head());
        hub.0.note(entry, |seen| seen.ended = true);
        if sent? == After::Close || request.header("connection").is_some_and(|text| text.eq_ignore_ascii_case("close")) {
            break;
        }
    }
    Ok(())
}

/// Answers a request, and notes that; returns the note's number.
fn respond(hub: &Hub, origin: Origin, connection: u64, request: &Request) -> (Answer, usize) {
    let good = {
        let world = hub.0.world();
        match origin {
            Origin::HuggingFace => huggingface::answer(&world, request, &hub.0.origins),
            Origin::Registry => registry::answer(&world, request, &hub.0.origins),
            Origin::Cdn => cdn::answer(&world, request),
            Origin::Stranger if request.path == "/token" => {
                Answer::json(Part::Token, 200, serde_json::json!({ "token": "from a stranger" }))
            }
            Origin::Stranger => cdn::serve(&world, request),
        }
    };
    // A stranger is as good as can be: only so is it seen what is told to him.
    let rule = if origin == Origin::Stranger { None } else { hub.0.rule_for(good.part, &request.path) };
    let spoiled = rule.as_ref().map(|(how, _)| how.clone());
    let answer = match rule {
        Some((how, turn)) => spoil(&how, good, request, &hub.0.origins, turn),
        None => good,
    };
    let seen = Seen {
        origin,
        connection,
        method: request.method.clone(),
        path: request.path.clone(),
        part: answer.part,
        headers: request.headers.clone(),
        status: answer.status,
        sent: 0,
        ended: false,
        spoiled,
    };
    let mut all = hub.0.seen();
    all.push(seen);
    (answer, all.len() - 1)
}
