/// Objects leave and arrive: a share of a slot on one side, a real `bytes` or `str` on the other (design
/// section 3).
#pragma once

#include "cpython/compat.hpp"
#include "cpython/refs.hpp"

#include "core/registry.hpp"
#include "core/share.hpp"

namespace isthmus::py {

/// Smallest block (header included, in bytes) that crosses as a twin; smaller ones are copied inline.
[[nodiscard]] std::size_t twin_threshold() noexcept;

/// A share of `o`'s payload, for a message. Null share, no error: `o` can't be shared and must be copied (not
/// exactly `bytes` or `str`, too small, no window, no room). An object from before placement is copied into a
/// slot once; while shares of it are out, the owner table knows it by its slot. Current interpreter: `from`,
/// under its GIL. May throw std::bad_alloc.
[[nodiscard]] core::share share_out(core::interpreter& from, PyObject* o);

/// The object for a share that arrived in `to`, the current interpreter: the original if `to` owns it, the
/// twin that lives here already, a new twin, or a copy where a twin is not possible (counted). Throws
/// python_error (MemoryError).
[[nodiscard]] ref receive(core::interpreter& to, core::share held);

/// The claim of a loan on the slot in which `address` lies, and hence on the memory there; null if it lies in
/// no slot that `from` owns or has a twin in. Not a keeper: the exporter of the loan holds its object itself.
[[nodiscard]] core::share pin(core::interpreter& from, const void* address) noexcept;
/// Ends a pin, in `here` under its GIL, at once if `here` owns the slot: before its exporter may free it.
void unpin(core::interpreter& here, core::share held);

/// The slot in which `o` lies, if it is an exact `bytes` or `str` at its object base, or a copy of it does;
/// else null.
[[nodiscard]] core::slot* slot_of(core::interpreter& here, PyObject* o) noexcept;
/// `o` is another interpreter's payload: never to be written in place. For the BytesIO guard.
[[nodiscard]] bool is_foreign_twin(PyObject* o) noexcept;

/// From now on everything is copied, in all interpreters: a self-test failed.
void forbid_twins() noexcept;

/// Runs the releases of slots that others posted to this interpreter. Under its GIL; no user code runs:
/// `bytes` and `str` die silently. Errands are left to the helper; only where no thread can be made for one
/// they, and with them code of the user's, run here. Cheap when there is nothing. Not noexcept: see
/// core::errand::run.
void drain(core::interpreter& here);
/// The owner table entries of a window whose interpreter is gone: forgotten, not touched.
void forget_copies(const core::window& view) noexcept;

} // namespace isthmus::py
