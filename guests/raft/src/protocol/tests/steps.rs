//! Single steps of single nodes.

use super::super::*;
use crate::bugs::Bugs;

const MS: u64 = 1_000_000;

fn config(id: NodeId) -> Config {
    Config::new(id, vec![1, 2, 3], Bugs::NONE)
}

fn at(ms: u64) -> Moment {
    Moment {
        steady: ms * MS,
        wall: ms * MS,
    }
}

fn node(id: NodeId, durable: &Durable) -> Node {
    Node::new(config(id), durable, id, at(0)).unwrap()
}

fn noop(term: Term) -> Entry {
    Entry {
        term,
        command: Command::Noop,
    }
}

fn put(sequence: u64) -> Request {
    let op = Op::Put {
        key: "k".into(),
        value: sequence.to_le_bytes().to_vec(),
    };
    Request {
        session: 1,
        sequence,
        op,
    }
}

fn say(node: &mut Node, ms: u64, from: NodeId, term: Term, body: Body) -> Output {
    node.step(
        at(ms),
        Input::Message {
            from,
            message: Message { term, body },
        },
    )
}

/// What the output says to `to`.
fn said_to(output: &Output, to: NodeId) -> Vec<&Body> {
    output
        .messages
        .iter()
        .filter(|(id, _)| *id == to)
        .map(|(_, message)| &message.body)
        .collect()
}

fn ask_vote(last_index: Index, last_term: Term) -> Body {
    Body::Vote {
        last_index,
        last_term,
        pre: false,
    }
}

fn granted(output: &Output) -> bool {
    matches!(
        output.messages[..],
        [(
            _,
            Message {
                body: Body::VoteReply { granted: true, .. },
                ..
            }
        )]
    )
}

/// Node 1 as the leader of term 1, with votes from node 2.
fn leader() -> Node {
    let mut node = node(1, &Durable::default());
    let asked = node.step(at(400), Input::Tick);
    assert_eq!(said_to(&asked, 3), [&ask_vote(0, 0)]);
    assert_eq!(
        asked.records,
        [Record::Vote {
            term: 1,
            voted_for: Some(1)
        }]
    );
    let elected = say(
        &mut node,
        401,
        2,
        1,
        Body::VoteReply {
            granted: true,
            pre: false,
        },
    );
    assert!(node.is_leader());
    assert!(elected.notes.contains(&Note::Elected(1)));
    node
}

fn append_of(output: &Output, to: NodeId) -> &Append {
    match said_to(output, to)[..] {
        [Body::Append(append)] => append,
        ref other => panic!("{other:?}"),
    }
}

/// An append from a leader whose log consists of `terms`, beginning behind `prev`.
fn append(terms: &[Term], prev: usize, commit: Index) -> Body {
    let mut log = Log::default();
    let places: Vec<Place> = terms.iter().map(|term| log.push(noop(*term))).collect();
    let before = prev
        .checked_sub(1)
        .map_or(Place::default(), |at| places[at]);
    Body::Append(Append {
        prev_index: prev as Index,
        prev_term: before.term,
        prev_digest: before.digest,
        entries: terms[prev..].iter().map(|term| noop(*term)).collect(),
        commit,
        round: 1,
        applied: 0,
        state: 0,
    })
}

#[test]
fn a_node_votes_once_per_term_and_only_for_those_with_all_it_has() {
    let durable = Durable {
        term: 2,
        entries: vec![noop(1), noop(2)],
        ..Durable::default()
    };
    let mut voter = node(3, &durable);
    assert!(!granted(&say(&mut voter, 1, 1, 3, ask_vote(1, 2))));
    assert!(!granted(&say(&mut voter, 2, 1, 3, ask_vote(9, 1))));
    let vote = say(&mut voter, 3, 1, 3, ask_vote(2, 2));
    assert!(granted(&vote));
    assert_eq!(
        vote.records,
        [Record::Vote {
            term: 3,
            voted_for: Some(1)
        }]
    );
    assert!(!granted(&say(&mut voter, 4, 2, 3, ask_vote(9, 3))));
    assert!(
        granted(&say(&mut voter, 5, 1, 3, ask_vote(2, 2))),
        "the same vote again"
    );
    assert!(
        granted(&say(&mut voter, 6, 2, 4, ask_vote(9, 3))),
        "another term"
    );
}

#[test]
fn a_vote_is_remembered_over_a_restart() {
    let durable = Durable {
        term: 3,
        voted_for: Some(1),
        ..Durable::default()
    };
    assert!(!granted(&say(
        &mut node(3, &durable),
        1,
        2,
        3,
        ask_vote(9, 3)
    )));
    assert!(granted(&say(
        &mut node(3, &durable),
        1,
        1,
        3,
        ask_vote(9, 3)
    )));
}

#[test]
fn election_timeouts_are_drawn_anew_between_their_bounds() {
    let deadlines: std::collections::BTreeSet<u64> = (0..20)
        .map(|seed| {
            Node::new(config(1), &Durable::default(), seed, at(0))
                .unwrap()
                .deadline()
        })
        .collect();
    assert!(deadlines.len() > 15);
    assert!(
        deadlines
            .iter()
            .all(|at| (150 * MS..=300 * MS).contains(at))
    );
}

#[test]
fn a_leader_commits_what_a_majority_has_and_then_answers() {
    let mut leader = leader();
    let asked = leader.step(
        at(402),
        Input::Request {
            token: 9,
            request: put(1),
        },
    );
    assert_eq!(append_of(&asked, 2).entries.len(), 1);
    assert!(asked.replies.is_empty());
    let reply = Body::AppendReply {
        success: true,
        index: 2,
        round: 2,
    };
    let done = say(&mut leader, 403, 2, 1, reply);
    assert_eq!(done.replies, [(9, Reply::Done(Outcome::Written))]);
    assert_eq!(leader.commit(), 2);
}

#[test]
fn entries_of_former_terms_are_committed_only_together_with_one_of_the_present() {
    let durable = Durable {
        term: 1,
        entries: vec![noop(1)],
        ..Durable::default()
    };
    let mut node = node(1, &durable);
    node.step(at(400), Input::Tick);
    say(
        &mut node,
        401,
        2,
        2,
        Body::VoteReply {
            granted: true,
            pre: false,
        },
    );
    assert!(node.is_leader());
    say(
        &mut node,
        402,
        2,
        2,
        Body::AppendReply {
            success: true,
            index: 1,
            round: 1,
        },
    );
    assert_eq!(node.commit(), 0);
    say(
        &mut node,
        403,
        2,
        2,
        Body::AppendReply {
            success: true,
            index: 2,
            round: 1,
        },
    );
    assert_eq!(node.commit(), 2);
}

#[test]
fn a_follower_takes_the_leaders_entries_in_place_of_its_own() {
    let durable = Durable {
        term: 2,
        entries: vec![noop(1), noop(2), noop(2)],
        ..Durable::default()
    };
    let mut follower = node(3, &durable);
    let output = say(&mut follower, 1, 1, 3, append(&[1, 3], 1, 2));
    assert!(output.notes.contains(&Note::Truncated(2)));
    assert_eq!(
        said_to(&output, 1),
        [&Body::AppendReply {
            success: true,
            index: 2,
            round: 1
        }]
    );
    assert_eq!(
        (
            follower.log().len(),
            follower.log().last().term,
            follower.commit()
        ),
        (2, 3, 2)
    );
}

#[test]
fn a_follower_that_lacks_entries_or_has_others_says_where_to_go_on() {
    let durable = Durable {
        term: 2,
        entries: vec![noop(1), noop(2), noop(2)],
        ..Durable::default()
    };
    let mut follower = node(3, &durable);
    let answer = |output: Output| match said_to(&output, 1)[..] {
        [
            Body::AppendReply {
                success: false,
                index,
                ..
            },
        ] => *index,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(
        answer(say(&mut follower, 1, 1, 3, append(&[1, 3, 3, 3, 3], 5, 0))),
        4
    );
    assert_eq!(
        answer(say(&mut follower, 2, 1, 3, append(&[1, 3, 3], 3, 0))),
        2
    );
}

#[test]
fn a_leader_of_a_term_that_has_passed_is_told_so() {
    let durable = Durable {
        term: 5,
        ..Durable::default()
    };
    let mut follower = node(3, &durable);
    let output = say(&mut follower, 1, 1, 4, append(&[4], 0, 1));
    assert_eq!(output.messages[0].1.term, 5);
    assert!(follower.log().is_empty());
}

#[test]
fn a_leader_gives_up_when_it_hears_of_a_higher_term_and_says_that_it_does_not_know() {
    let mut leader = leader();
    leader.step(
        at(402),
        Input::Request {
            token: 9,
            request: put(1),
        },
    );
    let read = Request {
        session: 2,
        sequence: 1,
        op: Op::Get { key: "k".into() },
    };
    leader.step(
        at(403),
        Input::Request {
            token: 10,
            request: read,
        },
    );
    let output = say(&mut leader, 404, 3, 7, ask_vote(0, 0));
    assert!(!leader.is_leader());
    assert_eq!(leader.term(), 7);
    assert_eq!(
        output.replies,
        [(10, Reply::NotLeader(None)), (9, Reply::Unknown)]
    );
}

#[test]
fn a_leader_that_hears_from_no_majority_steps_down() {
    let mut leader = leader();
    let mut now = 402;
    while leader.is_leader() && now < 2000 {
        now += 10;
        leader.step(at(now), Input::Tick);
    }
    assert!((702..=780).contains(&now), "{now}");
    assert_eq!(leader.term(), 1);
}

#[test]
fn a_read_is_answered_after_a_majority_confirmed_the_leader() {
    let mut leader = leader();
    say(
        &mut leader,
        402,
        2,
        1,
        Body::AppendReply {
            success: true,
            index: 1,
            round: 1,
        },
    );
    let read = Request {
        session: 2,
        sequence: 1,
        op: Op::Get { key: "k".into() },
    };
    let asked = leader.step(
        at(403),
        Input::Request {
            token: 10,
            request: read,
        },
    );
    let round = append_of(&asked, 3).round;
    let old = Body::AppendReply {
        success: true,
        index: 1,
        round: round - 1,
    };
    assert!(
        say(&mut leader, 404, 3, 1, old).replies.is_empty(),
        "an answer to an earlier round"
    );
    let new = Body::AppendReply {
        success: true,
        index: 1,
        round,
    };
    let answered = say(&mut leader, 405, 3, 1, new);
    assert_eq!(answered.replies, [(10, Reply::Done(Outcome::Value(None)))]);
}

#[test]
fn followers_send_clients_to_the_leader() {
    let mut follower = node(3, &Durable::default());
    let asked = follower.step(
        at(1),
        Input::Request {
            token: 1,
            request: put(1),
        },
    );
    assert_eq!(asked.replies, [(1, Reply::NotLeader(None))]);
    say(&mut follower, 2, 1, 1, append(&[1], 0, 0));
    let asked = follower.step(
        at(3),
        Input::Request {
            token: 2,
            request: put(1),
        },
    );
    assert_eq!(asked.replies, [(2, Reply::NotLeader(Some(1)))]);
}

#[test]
fn what_is_too_large_or_too_much_is_refused() {
    let mut leader = leader();
    let op = Op::Put {
        key: "k".into(),
        value: vec![0; MAX_VALUE + 1],
    };
    let request = Request {
        session: 1,
        sequence: 1,
        op,
    };
    let output = leader.step(at(402), Input::Request { token: 1, request });
    assert_eq!(output.replies, [(1, Reply::Refused)]);
    let mut busy = 0;
    for token in 0..200 {
        let output = leader.step(
            at(403),
            Input::Request {
                token,
                request: put(token),
            },
        );
        busy += output
            .replies
            .iter()
            .filter(|(_, reply)| *reply == Reply::Busy)
            .count();
    }
    assert_eq!(busy, 200 - 127);
}

#[test]
fn a_follower_that_is_far_behind_gets_a_snapshot() {
    let mut leader = leader();
    for sequence in 1..=40 {
        leader.step(
            at(402),
            Input::Request {
                token: sequence,
                request: put(sequence),
            },
        );
    }
    let done = Body::AppendReply {
        success: true,
        index: 41,
        round: 2,
    };
    let output = say(&mut leader, 403, 2, 1, done);
    assert!(output.notes.contains(&Note::SnapshotTaken(32)));
    let behind = Body::AppendReply {
        success: false,
        index: 1,
        round: 3,
    };
    let output = say(&mut leader, 404, 3, 1, behind);
    let [
        Body::Install {
            snapshot,
            state,
            round,
        },
    ] = said_to(&output, 3)[..]
    else {
        panic!("{output:?}");
    };
    let mut follower = node(3, &Durable::default());
    let install = Body::Install {
        snapshot: snapshot.clone(),
        state: *state,
        round: *round,
    };
    let output = say(&mut follower, 405, 1, 1, install);
    assert!(output.notes.contains(&Note::SnapshotInstalled(32)));
    assert!(output.records.contains(&Record::Snapshot(snapshot.clone())));
    assert_eq!(follower.commit(), 32);
    let reply = said_to(&output, 1)[0].clone();
    let output = say(&mut leader, 406, 3, 1, reply);
    assert_eq!(append_of(&output, 3).prev_index, 32);
    assert_eq!(append_of(&output, 3).entries.len(), 9);
    say(&mut follower, 407, 1, 1, said_to(&output, 3)[0].clone());
    assert_eq!(follower.log().last(), leader.log().last());
}

#[test]
fn a_pre_vote_changes_no_term_and_is_refused_while_there_is_a_leader() {
    let mut config = config(3);
    config.pre_vote = true;
    let mut node = Node::new(config, &Durable::default(), 1, at(0)).unwrap();
    let ask = Body::Vote {
        last_index: 0,
        last_term: 0,
        pre: true,
    };
    let output = say(&mut node, 1, 1, 0, ask.clone());
    assert!(granted(&output) && node.term() == 0 && output.records.is_empty());
    say(&mut node, 2, 2, 1, append(&[1], 0, 0));
    let newer = Body::Vote {
        last_index: 1,
        last_term: 1,
        pre: true,
    };
    assert!(say(&mut node, 3, 1, 1, newer).messages.is_empty());
    // It asks before it stands for election itself.
    let output = node.step(at(900), Input::Tick);
    assert!(matches!(
        said_to(&output, 1)[..],
        [Body::Vote { pre: true, .. }]
    ));
    let output = say(
        &mut node,
        901,
        1,
        1,
        Body::VoteReply {
            granted: true,
            pre: true,
        },
    );
    assert_eq!(node.term(), 2);
    assert!(matches!(
        said_to(&output, 1)[..],
        [Body::Vote { pre: false, .. }]
    ));
}

#[test]
fn a_single_node_elects_itself_and_commits_alone() {
    let config = Config::new(1, vec![1], Bugs::NONE);
    let mut node = Node::new(config, &Durable::default(), 1, at(0)).unwrap();
    node.step(at(400), Input::Tick);
    assert!(node.is_leader());
    let output = node.step(
        at(401),
        Input::Request {
            token: 1,
            request: put(1),
        },
    );
    assert_eq!(output.replies, [(1, Reply::Done(Outcome::Written))]);
    let read = Request {
        session: 2,
        sequence: 1,
        op: Op::Get { key: "k".into() },
    };
    let output = node.step(
        at(402),
        Input::Request {
            token: 2,
            request: read,
        },
    );
    assert!(matches!(
        output.replies[..],
        [(2, Reply::Done(Outcome::Value(Some(_))))]
    ));
    node.step(at(3000), Input::Tick);
    assert!(node.is_leader());
}

#[test]
fn a_disk_that_holds_no_nodes_state_is_refused() {
    let new = |durable: &Durable| Node::new(config(1), durable, 1, at(0)).err();
    let backwards = Durable {
        term: 2,
        entries: vec![noop(2), noop(1)],
        ..Durable::default()
    };
    assert_eq!(new(&backwards), Some(Rejected::Terms(2)));
    let future = Durable {
        term: 1,
        entries: vec![noop(2)],
        ..Durable::default()
    };
    assert_eq!(new(&future), Some(Rejected::Terms(1)));
    let snapshot = Snapshot {
        index: 3,
        term: 1,
        digest: 0,
        data: vec![9],
    };
    let unreadable = Durable {
        term: 1,
        snapshot,
        ..Durable::default()
    };
    assert_eq!(new(&unreadable), Some(Rejected::Snapshot(3)));
    let stranger = Node::new(config(4), &Durable::default(), 1, at(0)).err();
    assert_eq!(stranger, Some(Rejected::Stranger(4)));
}
