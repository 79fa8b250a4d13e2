//! Watches a live HLS, LL-HLS or DASH address and says which rules it breaks.
