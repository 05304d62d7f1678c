//! The SDK as a static library; `sdk/include/chaosrun.h` is its interface and says what each function
//! does. Texts that are no UTF-8 are repaired, and details that are no JSON become a JSON text.

mod sites;

use std::ffi::{CStr, c_char, c_int, c_void};

use chaosrun_protocol::{Message, OpKind, Operation};
use chaosrun_sdk::__private::{Point, send};
use chaosrun_sdk::{Connection, lifecycle, publish, random};
use serde_json::Value;

pub use sites::{CSite, chaosrun_assert, chaosrun_register_sites};

/// The text at a pointer; the empty one if it is null.
///
/// # Safety
/// The pointer is null, or to a text that ends with a zero.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}

/// The JSON value at a pointer; null if the pointer is.
///
/// # Safety
/// As of [`text`].
unsafe fn json(pointer: *const c_char) -> Value {
    if pointer.is_null() {
        return Value::Null;
    }
    // SAFETY: the caller vouches for it.
    let text = unsafe { text(pointer) };
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// Finds out where the program runs.
#[unsafe(no_mangle)]
pub extern "C" fn chaosrun_init() -> c_int {
    match chaosrun_sdk::init() {
        Connection::Machine => 2,
        Connection::File => 1,
        _ => 0,
    }
}

/// The program is ready.
///
/// # Safety
/// `details` is null or a text that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chaosrun_setup_complete(details: *const c_char) {
    // SAFETY: the caller vouches for it.
    lifecycle::setup_complete(&unsafe { json(details) });
}

/// Something happened.
///
/// # Safety
/// Both are null or texts that end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chaosrun_send_event(name: *const c_char, details: *const c_char) {
    // SAFETY: the caller vouches for it.
    let (name, details) = unsafe { (text(name), json(details)) };
    lifecycle::send_event(&name, &details);
}

/// Any number.
#[unsafe(no_mangle)]
pub extern "C" fn chaosrun_random_u64() -> u64 {
    random::u64()
}

/// A number below `end`.
#[unsafe(no_mangle)]
pub extern "C" fn chaosrun_random_below(end: u64) -> u64 {
    random::below(end)
}

/// The next number of a stream.
///
/// # Safety
/// The name is null or a text that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chaosrun_random_named(stream: *const c_char) -> u64 {
    // SAFETY: the caller vouches for it.
    random::ChaosRng::named(&unsafe { text(stream) }).next()
}

/// Random bytes.
///
/// # Safety
/// The buffer has `length` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chaosrun_random_fill(buffer: *mut c_void, length: usize) {
    if !buffer.is_null() {
        // SAFETY: the caller vouches for it.
        random::fill(unsafe { std::slice::from_raw_parts_mut(buffer.cast(), length) });
    }
}

/// A value.
///
/// # Safety
/// The key is null or a text that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chaosrun_publish_int(key: *const c_char, value: i64) {
    // SAFETY: the caller vouches for it.
    publish(&unsafe { text(key) }, value);
}

/// A value.
///
/// # Safety
/// The key is null or a text that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chaosrun_publish_uint(key: *const c_char, value: u64) {
    // SAFETY: the caller vouches for it.
    publish(&unsafe { text(key) }, value);
}

/// A value.
///
/// # Safety
/// Both are null or texts that end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chaosrun_publish_text(key: *const c_char, value: *const c_char) {
    // SAFETY: the caller vouches for it.
    let (key, value) = unsafe { (text(key), text(value)) };
    publish(&key, value);
}

/// Beginning or end of an operation. A number that is none of the four is taken for "nobody knows".
///
/// # Safety
/// All pointers are null or texts that end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chaosrun_history(
    history: *const c_char,
    process: u64,
    op: c_int,
    f: *const c_char,
    key: *const c_char,
    value: *const c_char,
) {
    // SAFETY: the caller vouches for it.
    let (history, f, value) = unsafe { (text(history), text(f), json(value)) };
    // SAFETY: the caller vouches for it.
    let key = (!key.is_null()).then(|| unsafe { text(key) });
    send(Message::History(Operation {
        history,
        process,
        op: match op {
            0 => OpKind::Invoke,
            1 => OpKind::Ok,
            2 => OpKind::Fail,
            _ => OpKind::Info,
        },
        f,
        key,
        value: value.to_string(),
    }));
}

/// A fault point of a C program, `struct chaosrun_point`.
#[derive(Debug)]
#[repr(C)]
pub struct CPoint {
    name: *const c_char,
    state: std::sync::atomic::AtomicU32,
    taken: std::sync::atomic::AtomicU32,
}

/// Whether a fault point is taken this time.
///
/// # Safety
/// The point is a static whose name ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chaosrun_point_taken(
    point: *const CPoint,
    numerator: u64,
    denominator: u64,
) -> bool {
    // SAFETY: the caller vouches for it.
    let (point, name) = unsafe { (&*point, text((*point).name)) };
    Point::decide(&name, &point.state, &point.taken, numerator, denominator)
}
