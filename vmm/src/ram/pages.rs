//! What RAM held at a moment: a tree of pages that shares with other moments what is the same in both.
//!
//! A node has sixteen children. So a copy with a changed page makes a few nodes anew, and all others are
//! shared; two trees are compared by looking only where they do not share.

use std::sync::Arc;

use chaosrun_x86::PageBytes;

use super::image::RamImage;

/// Children of a node, and the bits of an index that choose one.
const FAN: usize = 16;
const BITS: u32 = FAN.trailing_zeros();

/// The pages of a RAM, of which those of zeros are not there.
#[derive(Debug, Clone)]
pub struct Pages {
    root: Child,
    /// Nodes from the root to a page.
    height: u32,
    pages: usize,
    /// What new RAMs are mapped over, which held something similar.
    image: Option<Arc<RamImage>>,
}

/// Nothing but zeros if there is none.
type Child = Option<Node>;

/// A part of the tree.
#[derive(Debug, Clone)]
enum Node {
    Inner(Arc<[Child; FAN]>),
    Page(Arc<PageBytes>),
}

impl Node {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inner(a), Self::Inner(b)) => Arc::ptr_eq(a, b),
            (Self::Page(a), Self::Page(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    fn children(&self) -> &[Child; FAN] {
        match self {
            Self::Inner(children) => children,
            Self::Page(_) => unreachable!("all pages are equally deep"),
        }
    }
}

const EMPTY: [Child; FAN] = [const { None }; FAN];

impl Pages {
    /// `pages` pages of zeros.
    pub fn zeros(pages: usize) -> Self {
        let mut height = 1;
        while pages > 1 << (height * BITS) {
            height += 1;
        }
        Self {
            root: None,
            height,
            pages,
            image: None,
        }
    }

    /// Has RAMs that begin with this content share it until they write, which costs once what it holds.
    /// Without room for that, they copy it as before.
    pub fn settle(&mut self) {
        let mut pages = self.clone();
        pages.image = None;
        self.image = RamImage::new(pages).ok().map(Arc::new);
    }

    /// What new RAMs are mapped over.
    pub(super) fn image(&self) -> Option<&RamImage> {
        self.image.as_deref()
    }

    /// How many pages there are, with those of zeros.
    pub fn count(&self) -> usize {
        self.pages
    }

    /// Calls `page` with the index and the bytes of each page that is not one of zeros, in ascending order.
    pub fn each(&self, page: &mut impl FnMut(u32, &PageBytes)) {
        let mut each = |index| {
            if let Some(bytes) = self.get(index) {
                page(index, bytes);
            }
        };
        self.differences(&Self::zeros(self.pages), &mut each);
    }

    /// A page, `None` if it is one of zeros.
    pub fn get(&self, index: u32) -> Option<&PageBytes> {
        let mut node = self.root.as_ref()?;
        for level in (0..self.height).rev() {
            node = node.children()[digit(index, level)].as_ref()?;
        }
        match node {
            Node::Page(bytes) => Some(bytes),
            Node::Inner(_) => unreachable!("all pages are equally deep"),
        }
    }

    /// Sets a page, which is one of zeros if there are no bytes.
    pub fn set(&mut self, index: u32, bytes: Option<Arc<PageBytes>>) {
        let mut child = &mut self.root;
        for level in (0..self.height).rev() {
            let node = child.get_or_insert_with(|| Node::Inner(Arc::new(EMPTY)));
            child = match node {
                Node::Inner(children) => &mut Arc::make_mut(children)[digit(index, level)],
                Node::Page(_) => unreachable!("all pages are equally deep"),
            };
        }
        *child = bytes.map(Node::Page);
    }

    /// Calls `differs` with the indices of all pages that the two do not share, in ascending order. Those
    /// may still be equal.
    ///
    /// # Panics
    /// If the two are of RAMs of different sizes.
    pub fn differences(&self, other: &Self, differs: &mut impl FnMut(u32)) {
        assert_eq!(self.pages, other.pages, "both are of one machine");
        compare(
            self.root.as_ref(),
            other.root.as_ref(),
            self.height,
            0,
            differs,
        );
    }
}

fn digit(index: u32, level: u32) -> usize {
    (index >> (level * BITS)) as usize % FAN
}

fn compare(
    a: Option<&Node>,
    b: Option<&Node>,
    height: u32,
    index: u32,
    differs: &mut impl FnMut(u32),
) {
    let same = match (a, b) {
        (Some(a), Some(b)) => a.is(b),
        (None, None) => true,
        _ => false,
    };
    if same {
        return;
    }
    if height == 0 {
        differs(index);
        return;
    }
    for digit in 0..FAN {
        let (a, b) = (nth(a, digit), nth(b, digit));
        compare(a, b, height - 1, index << BITS | digit as u32, differs);
    }
}

fn nth(node: Option<&Node>, digit: usize) -> Option<&Node> {
    node?.children()[digit].as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::Tape;

    const COUNT: u64 = 5000;

    fn page(value: u64) -> Option<Arc<PageBytes>> {
        (value != 0).then(|| Arc::new([value as u8; 4096]))
    }

    fn first(pages: &Pages, index: u64) -> u8 {
        pages.get(index as u32).map_or(0, |bytes| bytes[0])
    }

    fn differences(a: &Pages, b: &Pages) -> Vec<u32> {
        let mut found = Vec::new();
        a.differences(b, &mut |index| found.push(index));
        found
    }

    #[test]
    fn trees_hold_what_was_set_in_each() {
        let mut stream = Tape::new(3).stream("pages");
        let mut now = (Pages::zeros(COUNT as usize), vec![0; COUNT as usize]);
        let mut kept = Vec::new();
        for _ in 0..200 {
            for _ in 0..20 {
                let (index, value) = (stream.below(COUNT), stream.below(5));
                now.0.set(index as u32, page(value));
                now.1[index as usize] = value as u8;
            }
            kept.push(now.clone());
        }
        for (pages, expected) in &kept {
            let held: Vec<u8> = (0..COUNT).map(|index| first(pages, index)).collect();
            assert_eq!(held, *expected);
        }
    }

    #[test]
    fn differences_are_where_something_was_set() {
        let a = {
            let mut a = Pages::zeros(COUNT as usize);
            a.set(7, page(1));
            a.set(4999, page(2));
            a
        };
        let mut b = a.clone();
        assert!(differences(&a, &b).is_empty());
        b.set(7, page(1));
        b.set(300, page(3));
        b.set(4999, None);
        assert_eq!(differences(&a, &b), [7, 300, 4999]);
        assert_eq!(differences(&b, &a), [7, 300, 4999]);
        assert_eq!(differences(&Pages::zeros(COUNT as usize), &a), [7, 4999]);
    }

    #[test]
    fn the_last_page_of_any_size_has_a_place() {
        for pages in [1_usize, 15, 16, 17, 256, 257, 1 << 16, (1 << 19) + 1] {
            let last = pages as u32 - 1;
            let mut tree = Pages::zeros(pages);
            tree.set(last, page(9));
            assert_eq!(tree.get(last).map(|bytes| bytes[4095]), Some(9));
            assert_eq!(differences(&tree, &Pages::zeros(pages)), [last]);
        }
    }
}
