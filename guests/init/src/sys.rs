//! The operating system's interface, as far as the standard library lacks it.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::ptr;

/// Turns the result of a system call into an error.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn text(value: &str) -> io::Result<CString> {
    CString::new(value).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// This process.
pub fn pid() -> libc::pid_t {
    // SAFETY: getpid takes nothing and cannot fail.
    unsafe { libc::getpid() }
}

/// Mounts a file system that has no device.
pub fn mount(kind: &str, at: &str, data: &str) -> io::Result<()> {
    let (kind, at, data) = (text(kind)?, text(at)?, text(data)?);
    // SAFETY: all pointers are texts that end with a zero and outlive the call.
    check(unsafe {
        libc::mount(
            kind.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            0,
            data.as_ptr().cast(),
        )
    })?;
    Ok(())
}

/// Mounts the file system of a disk.
pub fn mount_disk(device: &str, at: &str, kind: &str, read_only: bool) -> io::Result<()> {
    let (device, at, kind) = (text(device)?, text(at)?, text(kind)?);
    let flags = if read_only { libc::MS_RDONLY } else { 0 };
    // SAFETY: all pointers are texts that end with a zero and outlive the call; no data is passed.
    check(unsafe {
        libc::mount(
            device.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            flags,
            std::ptr::null(),
        )
    })?;
    Ok(())
}

/// Makes /dev/console the standard input, output and error.
pub fn take_console() -> io::Result<()> {
    let console = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/console")?;
    for standard in 0..3 {
        // SAFETY: both are open files of this process, and nothing owns the standard ones.
        check(unsafe { libc::dup2(console.as_raw_fd(), standard) })?;
    }
    Ok(())
}

/// How many files a process may open: by itself, and if it asks.
pub fn allow_open_files(soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: the pointer is to a limit that outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(())
}

/// Lets this process and all that it starts use I/O ports.
pub fn open_ports(from: libc::c_ulong, count: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the ports belong to chaosrun, and nothing else listens there.
    check(unsafe { libc::ioperm(from, count, 1) })?;
    Ok(())
}

/// Names the host.
pub fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: the pointer and the length are of one text.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })?;
    Ok(())
}

/// Loads a kernel module with these parameters, `name=value` and parted by spaces.
pub fn load_module(file: &File, parameters: &str) -> io::Result<()> {
    let parameters = text(parameters)?;
    let (file, parameters) = (file.as_raw_fd(), parameters.as_ptr());
    // SAFETY: the file is open, and the parameters are a text.
    let result = unsafe { libc::syscall(libc::SYS_finit_module, file, parameters, 0) };
    check(result as libc::c_int)?;
    Ok(())
}

/// Gives an interface its address, and brings it up.
pub fn configure_interface(
    name: &str,
    address: Ipv4Addr,
    mask: Ipv4Addr,
    mtu: Option<u32>,
) -> io::Result<()> {
    // SAFETY: socket takes numbers only.
    let socket = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) })?;
    // SAFETY: the file was just opened, and nothing else owns it.
    let socket = unsafe { File::from_raw_fd(socket) };
    let control = |request: libc::c_ulong, fill: &mut dyn FnMut(&mut libc::ifreq)| {
        let mut interface = named(name)?;
        fill(&mut interface);
        // SAFETY: the requests below all take this struct.
        check(unsafe { libc::ioctl(socket.as_raw_fd(), request as _, &raw mut interface) })?;
        Ok::<_, io::Error>(interface)
    };
    if let Some(mtu) = mtu {
        control(libc::SIOCSIFMTU, &mut |i| {
            i.ifr_ifru.ifru_mtu = mtu as libc::c_int
        })?;
    }
    control(libc::SIOCSIFADDR, &mut |i| {
        i.ifr_ifru.ifru_addr = socket_address(address)
    })?;
    control(libc::SIOCSIFNETMASK, &mut |i| {
        i.ifr_ifru.ifru_netmask = socket_address(mask)
    })?;
    let before = control(libc::SIOCGIFFLAGS, &mut |_| ())?;
    // SAFETY: the request has filled in this member of the union.
    let flags = unsafe { before.ifr_ifru.ifru_flags };
    let up = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    control(libc::SIOCSIFFLAGS, &mut |i| {
        i.ifr_ifru.ifru_flags = flags | up
    })?;
    Ok(())
}

/// A request about the interface of this name.
fn named(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: all zeros are a valid request.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// An IPv4 address in the shape in which all addresses fit: the port, and then the address.
fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data[2..6].iter_mut().zip(address.octets()) {
        *to = from as libc::c_char;
    }
    libc::sockaddr {
        sa_family: libc::AF_INET as libc::sa_family_t,
        sa_data: data,
    }
}

/// Nanoseconds of a clock that is never set.
pub fn now_ns() -> u64 {
    let time = clock(libc::CLOCK_MONOTONIC).unwrap_or(libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    });
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn clock(clock: libc::clockid_t) -> io::Result<libc::timespec> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a time that outlives the call.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(time)
}

/// Adds nanoseconds to the time of day.
pub fn step_clock(by_ns: i64) -> io::Result<()> {
    let now = clock(libc::CLOCK_REALTIME)?;
    let ns = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec) + i128::from(by_ns);
    let then = libc::timespec {
        tv_sec: ns.div_euclid(1_000_000_000) as libc::time_t,
        tv_nsec: ns.rem_euclid(1_000_000_000) as libc::c_long,
    };
    // SAFETY: the pointer is to a time that outlives the call.
    check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const then) })?;
    Ok(())
}

/// Asks every 10 ms until there is an answer, or the time is over.
pub fn wait_for<T>(patience_ms: u64, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..patience_ms / 10 {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    ask()
}

/// Sends a signal to a process group.
pub fn signal_group(group: libc::pid_t, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: kill takes numbers only.
    check(unsafe { libc::kill(-group, signal) })?;
    Ok(())
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// A process that has ended, if there is one.
pub fn reap() -> Option<(libc::pid_t, End)> {
    let mut status = 0;
    // SAFETY: the pointer is to a number that outlives the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    let end = if libc::WIFSIGNALED(status) {
        End::Signal(libc::WTERMSIG(status))
    } else {
        End::Code(libc::WEXITSTATUS(status))
    };
    (pid > 0).then_some((pid, end))
}

/// Whether any process is left besides this one: all processes of user space descend from it, and those whose
/// parents ended are its children.
pub fn has_children() -> bool {
    // SAFETY: the information is plain data for which zeros are valid, and outlives the call.
    let result = unsafe {
        let mut told: libc::siginfo_t = mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        libc::waitid(libc::P_ALL, 0, &raw mut told, options)
    };
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ECHILD)
}

/// Waits until the console has shown what was written to it.
pub fn drain_console() {
    // SAFETY: the call takes a number only.
    unsafe { libc::tcdrain(libc::STDOUT_FILENO) };
}

/// A file that becomes readable when a child ends.
pub fn watch_children() -> io::Result<File> {
    // SAFETY: the set is made empty before it is used, and all pointers are to it.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        check(libc::sigprocmask(
            libc::SIG_BLOCK,
            &raw const set,
            ptr::null_mut(),
        ))?;
        let fd = check(libc::signalfd(
            -1,
            &raw const set,
            libc::SFD_NONBLOCK | libc::SFD_CLOEXEC,
        ))?;
        Ok(File::from_raw_fd(fd))
    }
}

/// Makes the calling process the leader of a session, with no signals blocked. Called between fork and
/// exec.
pub fn become_leader() -> io::Result<()> {
    // SAFETY: these calls are allowed between fork and exec, and the pointers are to one set.
    unsafe {
        check(libc::setsid())?;
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check(libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const none,
            ptr::null_mut(),
        ))?;
    }
    Ok(())
}

/// Waits until one of the files is readable or hung up, or the time (nanoseconds) is over, and says which.
pub fn wait_readable(files: &[RawFd], timeout_ns: Option<u64>) -> Vec<bool> {
    let mut polled: Vec<libc::pollfd> = files
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let timeout = timeout_ns.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the pointers are to the files and the timeout, which outlive the call.
    let ready = unsafe {
        libc::ppoll(
            polled.as_mut_ptr(),
            polled.len() as libc::nfds_t,
            timeout,
            ptr::null(),
        )
    };
    polled
        .iter()
        .map(|file| ready > 0 && file.revents != 0)
        .collect()
}

/// Makes a terminal pass bytes as they are.
pub fn make_raw(terminal: &File) -> io::Result<()> {
    // SAFETY: the pointers are to settings that the first call fills in.
    unsafe {
        let mut settings: libc::termios = mem::zeroed();
        check(libc::tcgetattr(terminal.as_raw_fd(), &raw mut settings))?;
        libc::cfmakeraw(&raw mut settings);
        check(libc::tcsetattr(
            terminal.as_raw_fd(),
            libc::TCSANOW,
            &raw const settings,
        ))?;
    }
    Ok(())
}

/// Makes reads of a file return instead of waiting.
pub fn make_nonblocking(file: &File) -> io::Result<()> {
    // SAFETY: fcntl with these commands takes numbers only.
    unsafe {
        let flags = check(libc::fcntl(file.as_raw_fd(), libc::F_GETFL))?;
        check(libc::fcntl(
            file.as_raw_fd(),
            libc::F_SETFL,
            flags | libc::O_NONBLOCK,
        ))?;
    }
    Ok(())
}

/// Starts a copy of this process that runs `child` and then ends with its result as exit code. This
/// process has one thread, so that the copy may do anything.
pub fn fork(child: impl FnOnce() -> i32) -> io::Result<libc::pid_t> {
    // SAFETY: there is one thread, so that no lock is held by another one.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        let code = child();
        // SAFETY: _exit takes a number and does not return.
        unsafe { libc::_exit(code) };
    }
    Ok(pid)
}

/// Takes memory that is there and stays there: every page of it, until the process ends.
pub fn hold_memory(bytes: usize) -> io::Result<()> {
    // SAFETY: the kernel chooses where, so that nothing is overwritten, and nobody uses the memory.
    unsafe {
        let at = libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        check(libc::mlock(at, bytes))?;
    }
    Ok(())
}

/// Sleeps until a signal comes.
pub fn pause() {
    // SAFETY: pause takes nothing.
    unsafe { libc::pause() };
}
