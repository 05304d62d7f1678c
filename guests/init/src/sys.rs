//! The operating system's interface, as far as the standard library lacks it.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
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

/// What a file system has.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// All blocks.
    pub blocks: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
}

/// What the file system at `path` has.
pub fn space(path: &str) -> io::Result<Space> {
    let path = text(path)?;
    // SAFETY: all zeros are valid numbers, which the call replaces; both pointers outlive it.
    let space = unsafe {
        let mut space: libc::statvfs = mem::zeroed();
        check(libc::statvfs(path.as_ptr(), &raw mut space))?;
        space
    };
    Ok(Space {
        blocks: space.f_blocks,
        free_inodes: space.f_ffree,
    })
}

/// A new file without a name in the directory at `path`.
pub fn nameless_file(path: &str) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open(path)
}

/// Kills a child, and waits until nothing of it is left.
pub fn kill_and_wait(pid: libc::pid_t) -> io::Result<()> {
    // SAFETY: both calls take numbers, and a pointer to nothing.
    unsafe {
        check(libc::kill(pid, libc::SIGKILL))?;
        while let Err(error) = check(libc::waitpid(pid, ptr::null_mut(), 0)) {
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                // Somebody else has taken notice of its end.
                Some(libc::ECHILD) => break,
                _ => return Err(error),
            }
        }
    }
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

/// Adds to the kernel's random numbers, and has it draw from that at once.
pub fn seed_random(seed: &[u64; 8]) -> io::Result<()> {
    /// `struct rand_pool_info` of `linux/random.h`: how many bits are to be counted, how many bytes come.
    #[repr(C)]
    struct Info {
        bits: libc::c_int,
        bytes: libc::c_int,
        seed: [u64; 8],
    }
    /// `_IOW('R', 0x03, int [2])` and `_IO('R', 0x07)`.
    const ADD_ENTROPY: libc::c_ulong = 0x4008_5203;
    const RESEED: libc::c_ulong = 0x5207;
    let bytes = mem::size_of_val(seed) as libc::c_int;
    let info = Info {
        bits: 8 * bytes,
        bytes,
        seed: *seed,
    };
    let device = OpenOptions::new().write(true).open("/dev/urandom")?;
    // SAFETY: the device is open, and the structure is what the first call reads; the second takes nothing.
    unsafe {
        check(libc::ioctl(
            device.as_raw_fd(),
            ADD_ENTROPY as _,
            &raw const info,
        ))?;
        check(libc::ioctl(device.as_raw_fd(), RESEED as _))?;
    }
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

/// The time of day in nanoseconds since 1970.
pub fn date_ns() -> i64 {
    let time = clock(libc::CLOCK_REALTIME).unwrap_or(libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    });
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec)
}

/// Adds nanoseconds to the time of day, exactly, whatever time that takes.
pub fn step_clock(by_ns: i64) -> io::Result<()> {
    if by_ns == 0 {
        return Ok(());
    }
    let before = adjust_clock(0, 0)?;
    let stepped = adjust_clock(libc::ADJ_SETOFFSET | libc::ADJ_NANO, by_ns);
    // The unit stays, for whoever adjusts the clock next, and counts in microseconds.
    if before & libc::STA_NANO == 0 {
        adjust_clock(libc::ADJ_MICRO, 0)?;
    }
    stepped.map(drop)
}

/// Asks the kernel for changes of its clock, and gives the clock's state.
fn adjust_clock(modes: libc::c_uint, by_ns: i64) -> io::Result<libc::c_int> {
    // SAFETY: all zeros are a valid request, which changes nothing.
    let mut request: libc::timex = unsafe { mem::zeroed() };
    request.modes = modes;
    request.time.tv_sec = by_ns.div_euclid(1_000_000_000);
    // With ADJ_NANO these are nanoseconds.
    request.time.tv_usec = by_ns.rem_euclid(1_000_000_000);
    // SAFETY: the pointer is to a request that outlives the call.
    check(unsafe { libc::adjtimex(&raw mut request) })?;
    Ok(request.status)
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

/// Sends a signal to a process.
pub fn signal(pid: libc::pid_t, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: kill takes numbers only.
    check(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// Lets others run for a while.
pub fn sleep_us(microseconds: u64) {
    std::thread::sleep(std::time::Duration::from_micros(microseconds));
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl End {
    fn of(status: libc::c_int) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }
}

/// Lets a child that has ended go, if there is one.
pub fn reap() -> Option<libc::pid_t> {
    let mut status = 0;
    // SAFETY: the pointer is to a number that outlives the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then_some(pid)
}

/// Waits for a child to end. None if there are no children.
pub fn wait_for_child() -> Option<(libc::pid_t, End)> {
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to a number that outlives the call.
        match check(unsafe { libc::waitpid(-1, &raw mut status, 0) }) {
            Ok(pid) => return Some((pid, End::of(status))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Lets orphaned descendants become this process's children.
pub fn keep_orphans() -> io::Result<()> {
    // SAFETY: prctl with this command takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })?;
    // SAFETY: the name is a text that outlives the call.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, c"keeper".as_ptr(), 0, 0, 0) })?;
    Ok(())
}

/// Lets the kernel end others for want of memory, and never this process. What it starts from now on
/// inherits that.
pub fn outlive_want() -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", "-1000")
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

/// How much memory the kernel has to give, in bytes.
pub fn total_memory() -> io::Result<u64> {
    // SAFETY: all zeros are valid, and the pointer is to what the call fills in.
    unsafe {
        let mut info: libc::sysinfo = mem::zeroed();
        check(libc::sysinfo(&raw mut info))?;
        Ok(info.totalram.saturating_mul(u64::from(info.mem_unit)))
    }
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
