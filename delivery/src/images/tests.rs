//! Thumbnails: what is asked for, and what of the window is shown.
