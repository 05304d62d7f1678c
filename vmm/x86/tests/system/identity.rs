//! The time stamp counter, random numbers and CPUID.

use chaosrun_x86::{CpuModel, Exit};
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{BUS_MSR, Machine, Script, TSC_RATE, reg};

#[test]
fn tsc_counts_what_retired_before_the_instruction_that_reads_it() {
    let (mut m, _) = Machine::kernel(|a| {
        a.nop()?;
        a.nop()?;
        a.rdtsc()?;
        a.mov(ebx, eax)?;
        a.rdtsc()?;
        a.hlt()
    });
    m.change(|state| state.gpr[reg::RDX] = u64::MAX);
    m.halt();
    assert_eq!(
        (m.gpr(reg::RBX), m.gpr(reg::RAX), m.gpr(reg::RDX)),
        (2 * TSC_RATE, 4 * TSC_RATE, 0)
    );
}

#[test]
fn tsc_does_not_depend_on_how_the_run_is_split() {
    for budget in 1..5 {
        let (mut m, _) = Machine::kernel(|a| {
            a.nop()?;
            a.nop()?;
            a.nop()?;
            a.rdtsc()?;
            a.hlt()
        });
        while m.run(budget) == Exit::Budget {}
        assert_eq!(m.gpr(reg::RAX), 3 * TSC_RATE, "budget {budget}");
    }
}

#[test]
fn rdtscp_returns_the_auxiliary_register_and_the_adjusted_counter() {
    let (mut m, _) = Machine::kernel(|a| {
        a.rdtscp()?;
        a.hlt()
    });
    m.change(|state| {
        state.msrs.tsc_aux = 0x1_0003;
        state.msrs.tsc_adjust = 5 << 32;
        state.gpr[reg::RCX] = u64::MAX;
    });
    m.halt();
    assert_eq!(
        (m.gpr(reg::RAX), m.gpr(reg::RDX), m.gpr(reg::RCX)),
        (0, 5, 0x1_0003)
    );
}

#[test]
fn tsd_keeps_the_counter_from_users_only() {
    let disable = |m: &mut Machine| m.change(|state| state.cr4 |= control::CR4_TSD);
    let (mut m, p) = Machine::user(|a| a.rdtsc());
    disable(&mut m);
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(0)));
    let (mut m, p) = Machine::user(|a| a.rdtscp());
    disable(&mut m);
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(0)));
    let (mut m, _) = Machine::kernel(|a| {
        a.rdtsc()?;
        a.hlt()
    });
    disable(&mut m);
    m.halt();
    let (mut m, p) = Machine::user(|a| {
        a.rdtsc()?;
        a.rdtscp()?;
        a.ud2()
    });
    assert_eq!(m.event().what(), (vector::UD, None, p.at(2)));
}

#[test]
fn random_numbers_come_from_the_bus_and_always_succeed() {
    let (mut m, _) = Machine::kernel(|a| {
        a.rdrand(rax)?;
        a.setc(cl)?;
        a.rdseed(ebx)?;
        a.setc(ch)?;
        a.mov(rdx, -1i64 as u64)?;
        a.rdrand(dx)?;
        a.hlt()
    });
    m.change(|state| state.rflags |= flag::OF | flag::ZF);
    m.halt();
    let number = Script::random_number;
    assert_eq!(m.gpr(reg::RAX), number(0));
    assert_eq!(m.gpr(reg::RBX), number(1) & 0xffff_ffff);
    assert_eq!(m.gpr(reg::RDX), !0xffff | number(2) & 0xffff);
    assert_eq!((m.gpr(reg::RCX) & 0xffff, m.bus.draws), (0x101, 3));
    assert_eq!(m.cpu.state().rflags, 2 | flag::CF);
}

/// EAX, EBX, ECX and EDX of a leaf.
fn cpuid(model: &CpuModel, leaf: u32, subleaf: u32) -> [u32; 4] {
    let mut m = Machine::with_model(model.clone());
    m.load(CODE, 64, |a| {
        a.cpuid()?;
        a.hlt()
    });
    m.change(|state| {
        state.gpr[reg::RAX] = u64::from(leaf) | 0xdead_0000_0000;
        state.gpr[reg::RCX] = u64::from(subleaf) | 0xdead_0000_0000;
    });
    m.halt();
    [reg::RAX, reg::RBX, reg::RCX, reg::RDX].map(|n| {
        assert_eq!(m.gpr(n) >> 32, 0, "the upper halves are cleared");
        m.gpr(n) as u32
    })
}

#[test]
fn vendor_and_brand_are_those_of_the_model() {
    let model = CpuModel::default();
    let text = |words: &[u32]| {
        words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect::<Vec<_>>()
    };
    let [highest, b, c, d] = cpuid(&model, 0, 0);
    assert_eq!(
        (text(&[b, d, c]), highest),
        (b"GenuineIntel".to_vec(), 0x16)
    );
    let brand: Vec<_> = (0x8000_0002..=0x8000_0004)
        .flat_map(|leaf| text(&cpuid(&model, leaf, 0)))
        .collect();
    let brand = String::from_utf8(brand).expect("the brand is text");
    assert_eq!(brand.trim_end_matches('\0'), model.brand);
}

#[test]
fn signature_encodes_family_model_and_stepping() {
    let mut model = CpuModel::default();
    assert_eq!(cpuid(&model, 1, 0)[0], 0x0002_06c2);
    (model.family, model.model, model.stepping) = (0x19, 0x21, 3);
    assert_eq!(cpuid(&model, 1, 0)[0], 0x00a2_0f13);
}

#[test]
fn features_are_those_of_x86_64_v2_and_nothing_later() {
    let model = CpuModel::default();
    let [_, _, c, d] = cpuid(&model, 1, 0);
    for bit in [0, 9, 13, 19, 20, 23, 26] {
        assert_ne!(c & 1 << bit, 0, "leaf 1, ECX bit {bit}");
    }
    // MONITOR, VMX, FMA, MOVBE, AES, OSXSAVE (off), AVX, F16C, RDRAND, hypervisor.
    for bit in [3, 5, 12, 22, 25, 27, 28, 29, 30, 31] {
        assert_eq!(c & 1 << bit, 0, "leaf 1, ECX bit {bit}");
    }
    for bit in [0, 4, 5, 6, 8, 11, 15, 23, 24, 25, 26] {
        assert_ne!(d & 1 << bit, 0, "leaf 1, EDX bit {bit}");
    }
    let [_, b, c7, _] = cpuid(&model, 7, 0);
    // FSGSBASE, BMI1, AVX2, SMEP, BMI2, INVPCID, AVX512F, RDSEED, ADX, SMAP.
    for bit in [0, 3, 5, 7, 8, 10, 16, 18, 19, 20] {
        assert_eq!(b & 1 << bit, 0, "leaf 7, EBX bit {bit}");
    }
    assert_eq!(c7, 0);
    let [_, _, c, d] = cpuid(&model, 0x8000_0001, 0);
    assert_eq!((c, d), (1, 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 | 1 << 29));
}

#[test]
fn osxsave_follows_cr4() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(eax, 1)?;
        a.cpuid()?;
        a.hlt()
    });
    m.change(|state| state.cr4 |= control::CR4_OSXSAVE);
    m.halt();
    assert_ne!(m.gpr(reg::RCX) & 1 << 27, 0);
}

#[test]
fn the_local_apic_is_told_of_while_it_is_on() {
    // CPUID, then IA32_APIC_BASE without its enable bit, then CPUID again.
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(eax, 1)?;
        a.cpuid()?;
        a.mov(esi, edx)?;
        a.mov(ecx, BUS_MSR)?;
        a.mov(eax, 0xfee0_0100u32)?;
        a.xor(edx, edx)?;
        a.wrmsr()?;
        a.mov(eax, 1)?;
        a.cpuid()?;
        a.hlt()
    });
    m.halt();
    let (on, off) = (m.gpr(reg::RSI), m.gpr(reg::RDX));
    assert_eq!((on & 1 << 9, on ^ off), (1 << 9, 1 << 9));
}

#[test]
fn frequency_leaves_multiply_to_the_configured_frequency() {
    for tsc_khz in [3_000_000, 2_400_000, 1_000_000] {
        let model = CpuModel {
            tsc_khz,
            ..CpuModel::default()
        };
        let [denominator, numerator, crystal, _] = cpuid(&model, 0x15, 0);
        let hz = u64::from(crystal) * u64::from(numerator) / u64::from(denominator);
        assert_eq!(hz, tsc_khz * 1000);
        assert_eq!(u64::from(cpuid(&model, 0x16, 0)[0]), tsc_khz / 1000);
    }
}

#[test]
fn leaves_out_of_range_answer_with_the_highest_basic_leaf() {
    let model = CpuModel::default();
    assert_eq!(cpuid(&model, 0x7000, 0), cpuid(&model, 0x16, 0));
    assert_eq!(
        cpuid(&model, 0x4000_0000, 0),
        [0; 4],
        "there is no hypervisor"
    );
    assert_eq!(cpuid(&model, 0x8000_0000, 0)[0], 0x8000_0008);
}

#[test]
fn address_widths_match_what_the_mmu_accepts() {
    assert_eq!(
        cpuid(&CpuModel::default(), 0x8000_0008, 0)[0] & 0xffff,
        48 << 8 | 46
    );
}
