//! Packed integer arithmetic, comparison, logic and packing, and the logic of floats.

use super::host::{concatenated, int_ops, plain};
use super::{Frame, Prim, SimdFault};
use iced_x86::Code;

/// The primitive of a packed integer instruction.
pub(super) fn prim(code: Code) -> Option<Prim> {
    match code {
        Code::Packsswb_mm_mmm64 => Some(concatenated::<Packsswb>),
        Code::Packuswb_mm_mmm64 => Some(concatenated::<Packuswb>),
        Code::Packssdw_mm_mmm64 => Some(concatenated::<Packssdw>),
        Code::Mpsadbw_xmm_xmmm128_imm8 => Some(mpsadbw),
        _ => hosted(code),
    }
}

int_ops! {
    Paddb "paddb" { Paddb_xmm_xmmm128: plain, Paddb_mm_mmm64: plain }
    Paddw "paddw" { Paddw_xmm_xmmm128: plain, Paddw_mm_mmm64: plain }
    Paddd "paddd" { Paddd_xmm_xmmm128: plain, Paddd_mm_mmm64: plain }
    Paddq "paddq" { Paddq_xmm_xmmm128: plain, Paddq_mm_mmm64: plain }
    Paddsb "paddsb" { Paddsb_xmm_xmmm128: plain, Paddsb_mm_mmm64: plain }
    Paddsw "paddsw" { Paddsw_xmm_xmmm128: plain, Paddsw_mm_mmm64: plain }
    Paddusb "paddusb" { Paddusb_xmm_xmmm128: plain, Paddusb_mm_mmm64: plain }
    Paddusw "paddusw" { Paddusw_xmm_xmmm128: plain, Paddusw_mm_mmm64: plain }
    Psubb "psubb" { Psubb_xmm_xmmm128: plain, Psubb_mm_mmm64: plain }
    Psubw "psubw" { Psubw_xmm_xmmm128: plain, Psubw_mm_mmm64: plain }
    Psubd "psubd" { Psubd_xmm_xmmm128: plain, Psubd_mm_mmm64: plain }
    Psubq "psubq" { Psubq_xmm_xmmm128: plain, Psubq_mm_mmm64: plain }
    Psubsb "psubsb" { Psubsb_xmm_xmmm128: plain, Psubsb_mm_mmm64: plain }
    Psubsw "psubsw" { Psubsw_xmm_xmmm128: plain, Psubsw_mm_mmm64: plain }
    Psubusb "psubusb" { Psubusb_xmm_xmmm128: plain, Psubusb_mm_mmm64: plain }
    Psubusw "psubusw" { Psubusw_xmm_xmmm128: plain, Psubusw_mm_mmm64: plain }

    Pmullw "pmullw" { Pmullw_xmm_xmmm128: plain, Pmullw_mm_mmm64: plain }
    Pmulhw "pmulhw" { Pmulhw_xmm_xmmm128: plain, Pmulhw_mm_mmm64: plain }
    Pmulhuw "pmulhuw" { Pmulhuw_xmm_xmmm128: plain, Pmulhuw_mm_mmm64: plain }
    Pmulhrsw "pmulhrsw" { Pmulhrsw_xmm_xmmm128: plain, Pmulhrsw_mm_mmm64: plain }
    Pmulld "pmulld" { Pmulld_xmm_xmmm128: plain }
    Pmuludq "pmuludq" { Pmuludq_xmm_xmmm128: plain, Pmuludq_mm_mmm64: plain }
    Pmuldq "pmuldq" { Pmuldq_xmm_xmmm128: plain }
    Pmaddwd "pmaddwd" { Pmaddwd_xmm_xmmm128: plain, Pmaddwd_mm_mmm64: plain }
    Pmaddubsw "pmaddubsw" { Pmaddubsw_xmm_xmmm128: plain, Pmaddubsw_mm_mmm64: plain }
    Psadbw "psadbw" { Psadbw_xmm_xmmm128: plain, Psadbw_mm_mmm64: plain }
    Pavgb "pavgb" { Pavgb_xmm_xmmm128: plain, Pavgb_mm_mmm64: plain }
    Pavgw "pavgw" { Pavgw_xmm_xmmm128: plain, Pavgw_mm_mmm64: plain }

    Pcmpeqb "pcmpeqb" { Pcmpeqb_xmm_xmmm128: plain, Pcmpeqb_mm_mmm64: plain }
    Pcmpeqw "pcmpeqw" { Pcmpeqw_xmm_xmmm128: plain, Pcmpeqw_mm_mmm64: plain }
    Pcmpeqd "pcmpeqd" { Pcmpeqd_xmm_xmmm128: plain, Pcmpeqd_mm_mmm64: plain }
    Pcmpeqq "pcmpeqq" { Pcmpeqq_xmm_xmmm128: plain }
    Pcmpgtb "pcmpgtb" { Pcmpgtb_xmm_xmmm128: plain, Pcmpgtb_mm_mmm64: plain }
    Pcmpgtw "pcmpgtw" { Pcmpgtw_xmm_xmmm128: plain, Pcmpgtw_mm_mmm64: plain }
    Pcmpgtd "pcmpgtd" { Pcmpgtd_xmm_xmmm128: plain, Pcmpgtd_mm_mmm64: plain }
    Pcmpgtq "pcmpgtq" { Pcmpgtq_xmm_xmmm128: plain }

    Pminub "pminub" { Pminub_xmm_xmmm128: plain, Pminub_mm_mmm64: plain }
    Pminuw "pminuw" { Pminuw_xmm_xmmm128: plain }
    Pminud "pminud" { Pminud_xmm_xmmm128: plain }
    Pminsb "pminsb" { Pminsb_xmm_xmmm128: plain }
    Pminsw "pminsw" { Pminsw_xmm_xmmm128: plain, Pminsw_mm_mmm64: plain }
    Pminsd "pminsd" { Pminsd_xmm_xmmm128: plain }
    Pmaxub "pmaxub" { Pmaxub_xmm_xmmm128: plain, Pmaxub_mm_mmm64: plain }
    Pmaxuw "pmaxuw" { Pmaxuw_xmm_xmmm128: plain }
    Pmaxud "pmaxud" { Pmaxud_xmm_xmmm128: plain }
    Pmaxsb "pmaxsb" { Pmaxsb_xmm_xmmm128: plain }
    Pmaxsw "pmaxsw" { Pmaxsw_xmm_xmmm128: plain, Pmaxsw_mm_mmm64: plain }
    Pmaxsd "pmaxsd" { Pmaxsd_xmm_xmmm128: plain }
    Phminposuw "phminposuw" { Phminposuw_xmm_xmmm128: plain }

    Pabsb "pabsb" { Pabsb_xmm_xmmm128: plain, Pabsb_mm_mmm64: plain }
    Pabsw "pabsw" { Pabsw_xmm_xmmm128: plain, Pabsw_mm_mmm64: plain }
    Pabsd "pabsd" { Pabsd_xmm_xmmm128: plain, Pabsd_mm_mmm64: plain }
    Psignb "psignb" { Psignb_xmm_xmmm128: plain, Psignb_mm_mmm64: plain }
    Psignw "psignw" { Psignw_xmm_xmmm128: plain, Psignw_mm_mmm64: plain }
    Psignd "psignd" { Psignd_xmm_xmmm128: plain, Psignd_mm_mmm64: plain }

    Phaddw "phaddw" { Phaddw_xmm_xmmm128: plain, Phaddw_mm_mmm64: concatenated }
    Phaddd "phaddd" { Phaddd_xmm_xmmm128: plain, Phaddd_mm_mmm64: concatenated }
    Phaddsw "phaddsw" { Phaddsw_xmm_xmmm128: plain, Phaddsw_mm_mmm64: concatenated }
    Phsubw "phsubw" { Phsubw_xmm_xmmm128: plain, Phsubw_mm_mmm64: concatenated }
    Phsubd "phsubd" { Phsubd_xmm_xmmm128: plain, Phsubd_mm_mmm64: concatenated }
    Phsubsw "phsubsw" { Phsubsw_xmm_xmmm128: plain, Phsubsw_mm_mmm64: concatenated }

    Pand "pand" {
        Pand_xmm_xmmm128: plain, Pand_mm_mmm64: plain,
        Andps_xmm_xmmm128: plain, Andpd_xmm_xmmm128: plain,
    }
    Pandn "pandn" {
        Pandn_xmm_xmmm128: plain, Pandn_mm_mmm64: plain,
        Andnps_xmm_xmmm128: plain, Andnpd_xmm_xmmm128: plain,
    }
    Por "por" {
        Por_xmm_xmmm128: plain, Por_mm_mmm64: plain,
        Orps_xmm_xmmm128: plain, Orpd_xmm_xmmm128: plain,
    }
    Pxor "pxor" {
        Pxor_xmm_xmmm128: plain, Pxor_mm_mmm64: plain,
        Xorps_xmm_xmmm128: plain, Xorpd_xmm_xmmm128: plain,
    }

    Packsswb "packsswb" { Packsswb_xmm_xmmm128: plain }
    Packuswb "packuswb" { Packuswb_xmm_xmmm128: plain }
    Packssdw "packssdw" { Packssdw_xmm_xmmm128: plain }
    Packusdw "packusdw" { Packusdw_xmm_xmmm128: plain }

    Pmovsxbw "pmovsxbw" { Pmovsxbw_xmm_xmmm64: plain }
    Pmovsxbd "pmovsxbd" { Pmovsxbd_xmm_xmmm32: plain }
    Pmovsxbq "pmovsxbq" { Pmovsxbq_xmm_xmmm16: plain }
    Pmovsxwd "pmovsxwd" { Pmovsxwd_xmm_xmmm64: plain }
    Pmovsxwq "pmovsxwq" { Pmovsxwq_xmm_xmmm32: plain }
    Pmovsxdq "pmovsxdq" { Pmovsxdq_xmm_xmmm64: plain }
    Pmovzxbw "pmovzxbw" { Pmovzxbw_xmm_xmmm64: plain }
    Pmovzxbd "pmovzxbd" { Pmovzxbd_xmm_xmmm32: plain }
    Pmovzxbq "pmovzxbq" { Pmovzxbq_xmm_xmmm16: plain }
    Pmovzxwd "pmovzxwd" { Pmovzxwd_xmm_xmmm64: plain }
    Pmovzxwq "pmovzxwq" { Pmovzxwq_xmm_xmmm32: plain }
    Pmovzxdq "pmovzxdq" { Pmovzxdq_xmm_xmmm64: plain }
}

/// MPSADBW: eight sums of absolute differences between one group of four bytes of the source and the
/// groups of four bytes that start at eight successive positions of the destination.
fn mpsadbw(f: &mut Frame) -> Result<(), SimdFault> {
    let dst = super::shuffles::bytes(f.dst);
    let src = super::shuffles::bytes(f.src);
    let block = usize::from(f.imm & 3) * 4;
    let start = usize::from(f.imm >> 2 & 1) * 4;
    let mut sums = [0_u16; 8];
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = (0..4)
            .map(|k| u16::from(dst[start + i + k].abs_diff(src[block + k])))
            .sum();
    }
    f.dst = super::shuffles::from_words(sums);
    Ok(())
}
