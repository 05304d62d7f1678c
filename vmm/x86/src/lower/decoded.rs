//! Instructions without handlers of their own.

use iced_x86::{Code, CpuidFeature, Instruction, Mnemonic};

use super::{End, Lowered, Operand, plain};
use crate::exec::{DecodedFn, branch, far, fpu, integer, muldiv, stack, string, syscall, system};

/// Lowers anything: to its decoded form, to #UD, or to the end of the run.
pub(super) fn lower(ins: &Instruction, bytes: &[u8], mem: Option<&Operand>) -> Lowered {
    if let Some((func, end)) = find(ins) {
        return Lowered::decoded(func, end);
    }
    if let Some(lowered) = super::fpu::lower(ins, bytes).or_else(|| super::simd::lower(ins, mem)) {
        return lowered;
    }
    if !belongs(ins) {
        return Lowered::decoded(integer::undefined, End::Block);
    }
    Lowered {
        op: plain(crate::exec::unimplemented),
        decoded: None,
        end: End::Block,
        near: None,
    }
}

/// Whether an instruction belongs to the CPU model; if not, it raises #UD as on the real one.
fn belongs(ins: &Instruction) -> bool {
    use CpuidFeature::*;
    ins.cpuid_features().iter().all(|feature| {
        matches!(
            feature,
            INTEL8086
                | INTEL186
                | INTEL286
                | INTEL386
                | INTEL486
                | X64
                | FPU
                | FPU287
                | FPU387
                | CPUID
                | CMOV
                | CX8
                | CMPXCHG16B
                | CLFSH
                | FXSR
                | MMX
                | MSR
                | RDPMC
                | RDTSCP
                | SEP
                | SSE
                | SSE2
                | SSE3
                | SSSE3
                | SSE4_1
                | SSE4_2
                | SYSCALL
                | TSC
                | XSAVE
                | XSAVEOPT
                | XSAVEC
                | MULTIBYTENOP
                | PAUSE
                | POPCNT
                | PREFETCHW
                | RDRAND
                | RDSEED
        )
    })
}

/// What executes an instruction from its decoded form, and how it ends its block.
fn find(ins: &Instruction) -> Option<(DecodedFn, End)> {
    general(ins)
        .or_else(|| control(ins))
        .or_else(|| privileged(ins))
}

fn general(ins: &Instruction) -> Option<(DecodedFn, End)> {
    use Mnemonic::*;
    let func: DecodedFn = match ins.mnemonic() {
        Mul => muldiv::mul,
        Imul if ins.op_count() == 1 => muldiv::imul,
        Div => muldiv::div,
        Idiv => muldiv::idiv,
        Mov if integer::is_moffs_or_general(ins) => integer::mov,
        Mov if integer::stores_segment(ins) => far::store_segment,
        Rol | Ror | Rcl | Rcr | Shl | Sal | Shr | Sar => integer::shift_by_zero,
        Shld | Shrd => integer::shift_double,
        Bsf | Bsr => integer::bit_scan,
        Bt | Bts | Btr | Btc => integer::bit_test,
        Bswap => integer::bswap16,
        Popcnt => integer::popcnt,
        Lzcnt => integer::bit_scan,
        Tzcnt => integer::bit_scan,
        Crc32 => integer::crc32,
        Cmpxchg => integer::cmpxchg_register,
        Xadd => integer::xadd_register,
        Cmpxchg8b | Cmpxchg16b => integer::cmpxchg_wide,
        Xlatb => integer::xlat,
        Lahf => integer::lahf,
        Sahf => integer::sahf,
        Clc | Stc | Cmc | Cld | Std => integer::flag,
        Push | Pop if !integer::is_segment_stack(ins) => stack::push_pop,
        Pusha | Pushad => stack::push_all,
        Popa | Popad => stack::pop_all,
        Pushf | Pushfd | Pushfq => stack::push_flags,
        Leave => stack::leave,
        Enter => stack::enter,
        Aaa | Aas | Aam | Aad | Daa | Das => integer::decimal,
        Salc => integer::salc,
        Bound => integer::bound,
        Arpl => integer::arpl,
        // Hints, and what is a hint on processors without the extension (CET, MPX and others).
        Reservednop | Rdsspd | Rdsspq | Cldemote | Prefetchwt1 | Prefetchit0 | Prefetchit1
        | Bndmov | Bndmk | Bndcl | Bndcu | Bndcn | Bndldx | Bndstx => integer::nop,
        Clflush => integer::clflush,
        Cli => system::clear_interrupt_flag,
        Sti => system::set_interrupt_flag,
        Swapgs => system::swapgs,
        Sldt | Str | Smsw => system::store_system,
        Sgdt | Sidt => system::store_table,
        Lar | Lsl | Verr | Verw => far::probe,
        Lds | Les | Lss | Lfs | Lgs => return Some((far::load_pointer, End::Block)),
        Movsb | Movsw | Movsd | Movsq | Stosb | Stosw | Stosd | Stosq | Lodsb | Lodsw | Lodsd
        | Lodsq | Cmpsb | Cmpsw | Cmpsd | Cmpsq | Scasb | Scasw | Scasd | Scasq | Insb | Insw
        | Insd | Outsb | Outsw | Outsd
            if ins.is_string_instruction() =>
        {
            let repeats = ins.has_rep_prefix() || ins.has_repne_prefix();
            let end = if repeats || ins.mnemonic_is_io() {
                End::Alone
            } else {
                End::No
            };
            return Some((string::string, end));
        }
        _ => return None,
    };
    Some((func, End::No))
}

trait IoMnemonic {
    fn mnemonic_is_io(&self) -> bool;
}

impl IoMnemonic for Instruction {
    fn mnemonic_is_io(&self) -> bool {
        use Mnemonic::*;
        matches!(
            self.mnemonic(),
            Insb | Insw | Insd | Outsb | Outsw | Outsd | In | Out
        )
    }
}

fn control(ins: &Instruction) -> Option<(DecodedFn, End)> {
    use Mnemonic::*;
    let func: DecodedFn = match ins.mnemonic() {
        _ if ins.is_jcc_short_or_near() => branch::jcc,
        Jmp if ins.is_jmp_short_or_near() || ins.is_jmp_near_indirect() => branch::jmp,
        Call if ins.is_call_near() || ins.is_call_near_indirect() => branch::call,
        Ret => branch::ret,
        Loop | Loope | Loopne | Jcxz | Jecxz | Jrcxz => branch::loop_,
        Jmp => far::jmp,
        Call => far::call,
        Retf => far::ret,
        Iret | Iretd | Iretq => far::iret,
        Int | Int3 | Into | Int1 => system::software_interrupt,
        Ud0 | Ud1 | Ud2 => integer::undefined,
        Syscall => syscall::syscall,
        Sysret | Sysretq => syscall::sysret,
        Sysenter => syscall::sysenter,
        Sysexit | Sysexitq => syscall::sysexit,
        _ => return None,
    };
    Some((func, End::Block))
}

fn privileged(ins: &Instruction) -> Option<(DecodedFn, End)> {
    use Mnemonic::*;
    let func: DecodedFn = match ins.mnemonic() {
        Mov if integer::loads_segment(ins) => far::load_segment,
        Push | Pop => far::push_pop_segment,
        Mov if system::is_control_move(ins) => system::mov_control,
        Popf | Popfd | Popfq => stack::pop_flags,
        Hlt => system::hlt,
        In | Out => system::port,
        Cpuid => system::cpuid,
        Rdtsc | Rdtscp => system::rdtsc,
        Rdpmc => system::rdpmc,
        Rdmsr => system::rdmsr,
        Wrmsr => system::wrmsr,
        Rdrand | Rdseed => system::random,
        Lgdt | Lidt => system::load_table,
        Lldt | Ltr => system::load_system,
        Lmsw => system::lmsw,
        Clts => system::clts,
        Invlpg => system::invlpg,
        Invd | Wbinvd | Wbnoinvd => system::cache_control,
        Xgetbv => system::xgetbv,
        Xsetbv => system::xsetbv,
        Wait => fpu::fwait,
        Emms => fpu::emms,
        Fxsave | Fxsave64 => fpu::fxsave,
        Fxrstor | Fxrstor64 => fpu::fxrstor,
        Xsave | Xsave64 | Xsaveopt | Xsaveopt64 | Xsavec | Xsavec64 => fpu::xsave,
        Xrstor | Xrstor64 => fpu::xrstor,
        _ => return fpu_environment(ins),
    };
    Some((func, End::Block))
}

fn fpu_environment(ins: &Instruction) -> Option<(DecodedFn, End)> {
    let func: DecodedFn = match ins.code() {
        Code::Fldenv_m14byte | Code::Fldenv_m28byte => fpu::fldenv,
        Code::Fnstenv_m14byte | Code::Fnstenv_m28byte => fpu::fnstenv,
        Code::Frstor_m94byte | Code::Frstor_m108byte => fpu::frstor,
        Code::Fnsave_m94byte | Code::Fnsave_m108byte => fpu::fnsave,
        _ => return None,
    };
    Some((func, End::Block))
}
