//! Macros that pick the instance of a generic handler.

/// The instance for a width.
macro_rules! by_width {
    ($width:expr, $func:ident $(, $g:ty)*) => {
        match $width {
            Width::Byte => $func::<$($g,)* u8>,
            Width::Word => $func::<$($g,)* u16>,
            Width::Dword => $func::<$($g,)* u32>,
            Width::Qword => $func::<$($g,)* u64>,
        }
    };
}

/// The instance for a kind of memory operand: the generic arguments end with it and the path.
macro_rules! by_kind {
    ($kind:expr, $func:ident $(, $g:tt)*) => {
        match $kind {
            Kind::Based => $func::<$($g,)* Based, Fast> as OpFn,
            Kind::Indexed => $func::<$($g,)* Indexed, Fast> as OpFn,
            Kind::General => $func::<$($g,)* General, Fast> as OpFn,
        }
    };
}

/// The instance for a width and a kind of memory operand.
macro_rules! by_width_and_kind {
    ($width:expr, $kind:expr, $func:ident $(, $g:tt)*) => {
        match $width {
            Width::Byte => by_kind!($kind, $func $(, $g)*, u8),
            Width::Word => by_kind!($kind, $func $(, $g)*, u16),
            Width::Dword => by_kind!($kind, $func $(, $g)*, u32),
            Width::Qword => by_kind!($kind, $func $(, $g)*, u64),
        }
    };
}

pub(super) use {by_kind, by_width, by_width_and_kind};
