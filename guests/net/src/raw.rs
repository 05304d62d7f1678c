//! The same conversation over smoltcp, a TCP stack in user space, on a raw socket of the first
//! interface. It has an IP address of its own, which the kernel does not know and so does not answer for.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use chaosrun_sdk::{assert_always_or_unreachable, lifecycle, random};
use serde_json::json;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Medium, RawSocket};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use crate::message::{self, SIZE};
use crate::{ask, ready};

const INTERFACE: &str = "eth0";
const BUFFER: usize = 4096;
/// How many clients a server has at once.
const SOCKETS: usize = 4;
/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);
/// The longest sleep, so that no time-out is missed by much.
const STEP: Duration = Duration::from_millis(50);

/// A stack with its interface.
struct Stack {
    device: RawSocket,
    interface: Interface,
    sockets: SocketSet<'static>,
    start: std::time::Instant,
}

impl Stack {
    fn new(address: &str) -> Result<Self, String> {
        let address: IpCidr = address
            .parse()
            .map_err(|()| format!("{address:?} is not like 10.1.0.200/16"))?;
        let mut device = RawSocket::new(INTERFACE, Medium::Ethernet)
            .map_err(|error| format!("can't open a raw socket of {INTERFACE}: {error}"))?;
        let mut config = Config::new(HardwareAddress::Ethernet(hardware_address()?));
        config.random_seed = random::u64();
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // The list has room for the first one.
            let _ = addresses.push(address);
        });
        Ok(Self {
            device,
            interface,
            sockets: SocketSet::new(Vec::new()),
            start: clock(),
        })
    }

    fn add_socket(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        self.sockets.add(socket)
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn now(&self) -> Instant {
        let elapsed = clock().duration_since(self.start);
        Instant::from_micros(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
    }

    /// Sends and receives what there is, then sleeps until there may be more, but at most `longest`.
    fn turn(&mut self, longest: Duration) {
        let now = self.now();
        self.interface
            .poll(now, &mut self.device, &mut self.sockets);
        let delay = self.interface.poll_delay(now, &self.sockets);
        let delay = delay.map_or(longest, |delay| delay.min(longest));
        // If waiting fails, the next turn comes at once.
        let _ = phy::wait(self.device.as_raw_fd(), Some(delay));
        let now = self.now();
        self.interface
            .poll(now, &mut self.device, &mut self.sockets);
    }

    /// Turns until `done` says so, or the time is over.
    fn turn_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now() + PATIENCE;
        while self.now() < end {
            if done(self) {
                return true;
            }
            self.turn(STEP);
        }
        false
    }
}

/// A guest's clock is virtual.
#[expect(clippy::disallowed_methods)]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

fn hardware_address() -> Result<EthernetAddress, String> {
    let path = format!("/sys/class/net/{INTERFACE}/address");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    text.trim()
        .parse()
        .map_err(|()| format!("{path}: {text:?}"))
}

/// Answers for ever.
pub fn serve(address: &str, port: u16) -> Result<(), String> {
    let mut stack = Stack::new(address)?;
    let handles: Vec<_> = (0..SOCKETS).map(|_| stack.add_socket()).collect();
    ready();
    loop {
        for &handle in &handles {
            let socket = stack.socket(handle);
            if !socket.is_open() {
                socket.set_timeout(Some(Duration::from_secs(30)));
                socket
                    .listen(port)
                    .map_err(|error| format!("can't listen: {error}"))?;
            }
            if socket.can_recv() && socket.can_send() {
                echo(socket);
            }
            if socket.state() == tcp::State::CloseWait {
                socket.close();
            }
        }
        stack.turn(STEP);
    }
}

/// Sends back as much as there is and fits.
fn echo(socket: &mut tcp::Socket<'_>) {
    let room = socket.send_capacity() - socket.send_queue();
    let mut bytes = vec![0; room];
    // Neither can fail on a socket that can receive and send.
    let length = socket.recv_slice(&mut bytes).unwrap_or_default();
    let sent = socket.send_slice(&bytes[..length]).unwrap_or_default();
    assert_always_or_unreachable!(
        sent == length,
        "what fits into a buffer is taken",
        &json!({ "room": room, "length": length, "sent": sent })
    );
}

/// Asks one server, until there are so many answers.
pub fn ping(address: &str, target: &str, count: Option<u64>) -> Result<(), String> {
    let target = ask::resolve(target)?;
    let IpAddr::V4(host) = target.ip() else {
        return Err(format!("{target} is not an address of IPv4"));
    };
    let mut stack = Stack::new(address)?;
    let handle = stack.add_socket();
    ready();
    let mut number = 0;
    loop {
        if connect(&mut stack, handle, host, target.port())? {
            lifecycle::send_event("connected", &json!({ "to": target.to_string() }));
            if converse(&mut stack, handle, &mut number, count) {
                return Ok(());
            }
            lifecycle::send_event("disconnected", &json!({ "from": target.to_string() }));
        }
        stack.socket(handle).abort();
        let end = stack.now() + PAUSE;
        while stack.now() < end {
            stack.turn(PAUSE);
        }
    }
}

/// Whether the connection is made in time.
fn connect(
    stack: &mut Stack,
    handle: SocketHandle,
    host: Ipv4Addr,
    port: u16,
) -> Result<bool, String> {
    // Ports 49152 to 65535 are there for this; one that was just used would be refused.
    let local = 49_152 + (random::below(16_384) as u16);
    let context = stack.interface.context();
    let socket = stack.sockets.get_mut::<tcp::Socket<'_>>(handle);
    socket
        .connect(context, (host, port), local)
        .map_err(|error| format!("can't connect: {error}"))?;
    Ok(stack.turn_until(|stack| stack.socket(handle).may_send()))
}

/// Asks through one connection; false if the connection fails first.
fn converse(stack: &mut Stack, handle: SocketHandle, number: &mut u64, count: Option<u64>) -> bool {
    loop {
        *number += 1;
        let question = message::question(*number);
        if stack.socket(handle).send_slice(&question) != Ok(SIZE) {
            return false;
        }
        let arrived = |stack: &mut Stack| stack.socket(handle).recv_queue() >= SIZE;
        let mut answer = [0; SIZE];
        if !stack.turn_until(arrived) || stack.socket(handle).recv_slice(&mut answer) != Ok(SIZE) {
            return false;
        }
        let answers = message::answered(*number, &answer);
        message::show(answers);
        if count.is_some_and(|count| answers >= count) {
            return true;
        }
    }
}
