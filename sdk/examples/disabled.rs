//! Uses what the feature `disabled` removes, and nothing else. `tests/disabled.rs` builds it both ways
//! and looks into the executables.

use chaosrun_sdk::{
    assert_always, assert_always_greater_than, assert_always_some, assert_reachable,
    assert_sometimes_all, buggify, history, lifecycle, publish,
};
use serde_json::json;

fn main() {
    let count = std::env::args().count();
    // What is not compiled is not evaluated either.
    assert_always!(
        said("condition", count > 0),
        "marker-always",
        &json!({ "marker-details": count })
    );
    assert_always_greater_than!(count, said("left side", 0), "marker-compare");
    assert_always_some!({ one: said("one of them", true) }, "marker-some");
    assert_sometimes_all!({ all: said("all of them", true) }, "marker-all");
    assert_reachable!("marker-reachable");
    if buggify!("marker-buggify") {
        said("fault", ());
    }
    lifecycle::setup_complete(&"marker-setup");
    lifecycle::send_event("marker-event", &count);
    publish("marker-publish", count);
    history::invoke("marker-history", 1, "write", None, &count);
}

fn said<T>(what: &str, value: T) -> T {
    println!("{what}");
    value
}
