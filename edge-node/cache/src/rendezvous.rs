//! Which of several nodes has something: rendezvous hashing. When a node goes, only what it had moves.

/// The nodes in the order in which they are to be asked for `key`: the same on every machine and in every version.
#[must_use]
pub fn order(key: &str, nodes: &[&str]) -> Vec<usize> {
    let mut weighed: Vec<(u64, usize)> =
        nodes.iter().enumerate().map(|(at, node)| (hash(node, key), at)).collect();
    weighed.sort_unstable_by(|a, b| b.cmp(a));
    weighed.into_iter().map(|(_, at)| at).collect()
}

/// FNV-1a, and the end of SplitMix64 to spread it.
fn hash(node: &str, key: &str) -> u64 {
    let bytes = node.bytes().chain([0]).chain(key.bytes());
    let fnv = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [&str; 4] = ["http://a", "http://b", "http://c", "http://d"];

    #[test]
    fn each_node_has_its_share_and_only_a_lost_ones_share_moves() {
        let mut shares = [0; 4];
        for key in (0..4_000).map(|n| format!("/vod/film/{n}.m4s")) {
            let all = order(&key, &NODES);
            let mut sorted = all.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3], "each once");
            shares[all[0]] += 1;
            // Without the last of the nodes the others keep their order.
            let rest: Vec<usize> = all.into_iter().filter(|n| *n != 3).collect();
            assert_eq!(order(&key, &NODES[..3]), rest);
        }
        assert!(shares.iter().all(|share| (900..1_100).contains(share)), "{shares:?}");
    }
}
