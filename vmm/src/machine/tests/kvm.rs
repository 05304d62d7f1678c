//! Whole machines on the host's KVM, booting a few bytes of machine code. On a host without KVM they
//! say so and check nothing.

use chaosrun_x86::{Activity, CodeStore, CpuModel, F80};

use crate::engine::tests::has_kvm;
use crate::engine::{self, Engine, EngineError, EngineKind, EngineOptions};
use crate::machine::boot::Booted;
use crate::machine::boot::elf::tests::executable;
use crate::machine::{Machine, MachineConfig, Stop};
use crate::time::VirtTime;

const CODE_AT: u64 = 0x10_0000;
const MILLI: u64 = 1_000_000;

fn options(patience_ms: u64, allow_nondeterminism: bool) -> EngineOptions {
    EngineOptions {
        patience_ms,
        allow_nondeterminism,
        ..EngineOptions::default()
    }
}

/// A machine on KVM with 8 MiB of RAM that executes `code`.
fn machine(code: &[u8], engine_options: EngineOptions) -> Machine {
    machine_on(EngineKind::Kvm, code, engine_options)
}

fn machine_on(engine: EngineKind, code: &[u8], engine_options: EngineOptions) -> Machine {
    let kernel = executable(CODE_AT, code, 0x1000);
    let config = MachineConfig {
        memory: 8 << 20,
        engine,
        engine_options,
        ..MachineConfig::new(&kernel)
    };
    Machine::new(&config).unwrap()
}

/// `mov edx, port; mov al, value; out dx, al`
fn out(port: u16, value: u8) -> Vec<u8> {
    let [low, high] = port.to_le_bytes();
    vec![0xba, low, high, 0, 0, 0xb0, value, 0xee]
}

#[test]
fn program_prints_and_powers_off() {
    if !has_kvm() {
        return;
    }
    let mut code: Vec<u8> = b"hi\n".iter().flat_map(|byte| out(0x3f8, *byte)).collect();
    code.extend(out(0x600, 5 << 2 | 1 << 5));
    let mut machine = machine(&code, EngineOptions::default());
    assert_eq!(machine.run_until(VirtTime(MILLI)).unwrap(), Stop::PowerOff);
    assert_eq!(machine.take_console(), b"hi\n");
    // Four exits of one kind.
    assert_eq!(machine.retired(), 4000);
}

#[test]
fn guest_that_never_exits_is_declared_with_its_place() {
    if !has_kvm() {
        return;
    }
    let mut machine = machine(&[0x90, 0xeb, 0xfe], options(20, false));
    let error = machine.run_until(VirtTime(MILLI)).unwrap_err();
    let EngineError::NotDeterministic {
        vcpu: 0,
        ran_ms,
        rip,
    } = error
    else {
        panic!("{error}");
    };
    assert!(ran_ms >= 20);
    assert_eq!(rip, CODE_AT + 1);
}

#[test]
fn guest_that_never_exits_goes_on_if_that_is_allowed() {
    if !has_kvm() {
        return;
    }
    let mut machine = machine(&[0xeb, 0xfe], options(5, true));
    assert_eq!(machine.run_until(VirtTime(MILLI)).unwrap(), Stop::Reached);
    assert_eq!(machine.now(), VirtTime(MILLI));
    assert!(
        machine
            .caveats()
            .iter()
            .any(|line| line.contains("not deterministic"))
    );
}

#[test]
fn halt_with_interrupts_off_is_for_ever() {
    if !has_kvm() {
        return;
    }
    let mut machine = machine(&[0xf4], EngineOptions::default());
    let Stop::HaltedForever { vcpus } = machine.run_until(VirtTime(MILLI)).unwrap() else {
        panic!("it did not halt");
    };
    assert_eq!((vcpus[0].rip, vcpus[0].interrupts), (CODE_AT + 1, false));
}

#[test]
fn exception_without_handlers_is_a_triple_fault() {
    if !has_kvm() {
        return;
    }
    let mut machine = machine(&[0x90, 0x0f, 0x0b], EngineOptions::default());
    let stop = machine.run_until(VirtTime(MILLI)).unwrap();
    assert!(matches!(stop, Stop::TripleFault { vcpu: 0, .. }), "{stop}");
}

#[test]
fn every_register_that_is_set_is_read_back() {
    if !has_kvm() {
        return;
    }
    let model = CpuModel::default();
    let (options, code) = (EngineOptions::default(), CodeStore::default());
    let build = |kind| engine::build(kind, &model, &options, &code).unwrap();
    let mut engine = build(EngineKind::Kvm);
    let reset = engine.state(0).unwrap();
    assert_eq!(reset, build(EngineKind::Exact).state(0).unwrap());
    let mut state = Booted {
        entry: CODE_AT,
        kernel: 0..0,
        initrd: None,
    }
    .entry_state(reset);
    state.gpr = std::array::from_fn(|index| 0x1111_2222_3333_0000 + index as u64);
    state.rflags = 0x203;
    state.cr2 = 0x1234_5000;
    state.cr4 |= 0x600;
    state.dr[..4].copy_from_slice(&[0x1000, 0x2000, 0x3000, 0x4000]);
    state.xmm = std::array::from_fn(|index| [index as u64, !(index as u64)]);
    state.mxcsr = 0x1fa0;
    state.x87.control = 0x27f;
    state.x87.status = 3 << 11;
    state.x87.tag = 0x3fff;
    state.x87.regs[7] = F80 {
        mantissa: 1 << 63,
        sign_exponent: 0x4001,
    };
    let msrs = &mut state.msrs;
    msrs.star = 0x0013_0008_0000_0000;
    (msrs.lstar, msrs.cstar) = (0xffff_8000_0000_1000, 0xffff_8000_0000_2000);
    (msrs.sfmask, msrs.kernel_gs_base) = (0x700, 0x1_0000_0000);
    (msrs.sysenter_cs, msrs.sysenter_esp, msrs.sysenter_eip) = (8, 0x5000, 0x6000);
    (msrs.tsc_adjust, msrs.misc_enable, msrs.mtrr_def_type) = (77, 1, 0xc06);
    msrs.mtrr_variable[3] = 0x8000_0800;
    state.nmi_blocked = true;
    state.interrupt_shadow = 1;
    state.activity = Activity::Halted;
    state.retired = 123_456;
    engine.set_state(0, &state).unwrap();
    assert_eq!(engine.state(0).unwrap(), state);
    assert_eq!(
        (engine.retired(0), engine.activity(0)),
        (123_456, Activity::Halted)
    );
    let digest = |engine: &dyn Engine| {
        let mut bytes = Vec::new();
        engine
            .hash_into(0, &mut |more| bytes.extend_from_slice(more))
            .unwrap();
        bytes
    };
    let before = digest(engine.as_ref());
    state.xmm[15][1] ^= 1;
    engine.set_state(0, &state).unwrap();
    assert_ne!(digest(engine.as_ref()), before);
}

#[test]
fn an_instruction_that_kvm_refuses_is_told_with_its_place_and_bytes() {
    if !has_kvm() {
        return;
    }
    // popcnt eax, ebx in kernel mode, then power-off: where it works, the guest ends well.
    let mut code = vec![0xf3, 0x0f, 0xb8, 0xc3];
    code.extend(out(0x600, 5 << 2 | 1 << 5));
    match machine(&code, EngineOptions::default()).run_until(VirtTime(MILLI)) {
        Ok(stop) => assert_eq!(stop, Stop::PowerOff),
        Err(error) => {
            let told = error.to_string();
            assert!(told.contains("f3, 0f, b8, c3"), "{told}");
            assert!(told.contains("0x100000"), "{told}");
        }
    }
}

#[test]
fn pages_that_the_guest_writes_are_found_as_on_the_exact_engine() {
    if !has_kvm() {
        return;
    }
    // mov dword [ADDRESS], VALUE for each; `in al, 0x21` after the first half, where a hash is taken.
    let write = |address: u32, value: u32| {
        let mut code = vec![0xc7, 0x04, 0x25];
        code.extend(address.to_le_bytes());
        code.extend(value.to_le_bytes());
        code
    };
    let mut code = [write(0x20_0000, 1), write(0x30_0ffe, 0x1234_5678)].concat();
    code.extend([0xe4, 0x21]);
    code.extend([write(0x20_0000, 2), write(0x7f_f000, 3)].concat());
    code.push(0xf4);
    let hashes = |engine| {
        let mut machine = machine_on(engine, &code, EngineOptions::default());
        let ram = |machine: &mut Machine| {
            let parts = machine.state_hash().unwrap().components;
            let part = parts.into_iter().find(|part| part.name == "ram");
            part.unwrap().digest
        };
        let before = ram(&mut machine);
        machine.run_until(VirtTime(1)).unwrap();
        let middle = ram(&mut machine);
        machine.run_until(VirtTime(MILLI)).unwrap();
        (before, middle, ram(&mut machine))
    };
    let kvm = hashes(EngineKind::Kvm);
    assert!(kvm.0 != kvm.1 && kvm.1 != kvm.2, "nothing was found");
    let exact = hashes(EngineKind::Exact);
    assert_eq!((kvm.0, kvm.2), (exact.0, exact.2));
}

#[test]
fn signals_from_elsewhere_change_nothing() {
    if !has_kvm() {
        return;
    }
    // mov ecx, 20000; loop: in al, 0x21; dec ecx; jnz; then power-off.
    let mut code = vec![0xb9, 0x20, 0x4e, 0, 0, 0xe4, 0x21, 0xff, 0xc9, 0x75, 0xfa];
    code.extend(out(0x600, 5 << 2 | 1 << 5));
    let run = || {
        let mut machine = machine(&code, options(60_000, false));
        let stop = machine.run_until(VirtTime(1000 * MILLI)).unwrap();
        (stop, machine.retired(), machine.state_hash().unwrap())
    };
    let calm = run();
    let _storm = Storm::start();
    assert_eq!(run(), calm);
}

/// Sends this thread the watch's own signal every 200 us, as long as it lives.
struct Storm {
    on: std::sync::Arc<std::sync::atomic::AtomicBool>,
    sender: Option<std::thread::JoinHandle<()>>,
}

impl Storm {
    fn start() -> Self {
        let on = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let seen = std::sync::Arc::clone(&on);
        // SAFETY: it has no conditions.
        let target = unsafe { libc::pthread_self() };
        let sender = std::thread::spawn(move || {
            while seen.load(std::sync::atomic::Ordering::SeqCst) {
                // SAFETY: the thread waits for this one before it ends, and its watch has installed a
                // handler.
                unsafe { libc::pthread_kill(target, libc::SIGRTMIN() + 5) };
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        });
        let sender = Some(sender);
        Self { on, sender }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.on.store(false, std::sync::atomic::Ordering::SeqCst);
        let ended = self
            .sender
            .take()
            .is_none_or(|sender| sender.join().is_ok());
        assert!(ended || std::thread::panicking());
    }
}

#[test]
fn two_machines_at_once_do_not_disturb_each_other() {
    if !has_kvm() {
        return;
    }
    // mov ecx, 3000; loop: inc dword [0x200000]; in al, 0x21; dec ecx; jnz; hlt.
    let code = [
        0xb9, 0xb8, 0x0b, 0, 0, 0xff, 0x04, 0x25, 0, 0, 0x20, 0, 0xe4, 0x21, 0xff, 0xc9, 0x75,
        0xf3, 0xf4,
    ];
    let run = move || {
        let mut machine = machine(&code, EngineOptions::default());
        machine.run_until(VirtTime(1000 * MILLI)).unwrap();
        machine.state_hash().unwrap()
    };
    let alone = run();
    let others: Vec<_> = (0..3).map(|_| std::thread::spawn(run)).collect();
    for other in others {
        assert_eq!(other.join().unwrap(), alone);
    }
}
