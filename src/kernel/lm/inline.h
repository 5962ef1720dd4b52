#pragma once
// How a function that must melt into its caller is declared: the instruction-set structs and what is built from them.
#define SKEP_INLINE [[gnu::always_inline]] static inline
