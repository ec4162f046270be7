#include "cpython/bytesio_guard.hpp"

#include "cpython/refs.hpp"

#include "core/immortal.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

namespace isthmus::py {
namespace {

/// The guard's second reference to a protected object.
struct kept_reference {
    PyObject* object = nullptr;
    /// Whose reference it is. An interpreter that leaked a BytesIO leaves its entry behind, and the address
    /// of that BytesIO may be used again elsewhere: nobody but this interpreter may touch `object`.
    const PyInterpreterState* interpreter = nullptr;
};

/// All second references, by the BytesIO that they belong to.
///
/// Process-wide, because entries are looked up by dying interpreters whose own state is already cleared. Any
/// thread may call; whoever works on the entry of one BytesIO holds the GIL of its interpreter. The locks are
/// held for one map operation and never while Python code or a deallocator runs.
class reference_table {
  public:
    /// False: `stream` has no entry. Costs one load from a cache line that only protected objects write.
    [[nodiscard]] bool may_hold(PyObject* stream) noexcept {
        // Relaxed: the entry of `stream` was made under the GIL that the caller holds.
        return shard_of(stream).size.load(std::memory_order_relaxed) != 0;
    }

    /// Makes `fresh` the entry of `stream` and returns the one before. Strong guarantee; throws
    /// std::bad_alloc.
    kept_reference exchange(PyObject* stream, kept_reference fresh) {
        shard& part = shard_of(stream);
        const std::lock_guard guard(part.lock);
        const auto [place, added] = part.entries.try_emplace(stream);
        if (added) {
            part.size.fetch_add(1, std::memory_order_relaxed);
        }
        return std::exchange(place->second, fresh);
    }

    /// Undoes an `exchange` that returned `previous`. Allocates nothing.
    void put_back(PyObject* stream, kept_reference previous) noexcept {
        shard& part = shard_of(stream);
        const std::lock_guard guard(part.lock);
        if (const auto place = part.entries.find(stream); place != part.entries.end()) {
            if (previous.object != nullptr) {
                place->second = previous;
            } else {
                erase(part, place);
            }
        }
    }

    /// Removes the entry of `stream`, if there is one, and gives it to the caller.
    kept_reference take(PyObject* stream) noexcept {
        shard& part = shard_of(stream);
        const std::lock_guard guard(part.lock);
        const auto place = part.entries.find(stream);
        if (place == part.entries.end()) {
            return {};
        }
        const kept_reference taken = place->second;
        erase(part, place);
        return taken;
    }

    /// Forgets the entries of an interpreter that is gone, without touching the objects.
    void forget(const PyInterpreterState* gone) noexcept {
        for (shard& part : shards_) {
            const std::lock_guard guard(part.lock);
            for (auto place = part.entries.begin(); place != part.entries.end();) {
                place = place->second.interpreter == gone ? erase(part, place) : std::next(place);
            }
        }
    }

    [[nodiscard]] std::size_t size() const noexcept {
        std::size_t sum = 0;
        for (const shard& part : shards_) {
            sum += part.size.load(std::memory_order_relaxed);
        }
        return sum;
    }

  private:
    using map = std::unordered_map<PyObject*, kept_reference>;

    /// Interpreters in parallel seldom meet in one part; each part has cache lines of its own.
    struct alignas(64) shard {
        std::atomic<std::size_t> size{0};
        std::mutex lock;
        map entries;
    };

    static map::iterator erase(shard& part, map::iterator place) noexcept {
        part.size.fetch_sub(1, std::memory_order_relaxed);
        return part.entries.erase(place);
    }

    shard& shard_of(PyObject* stream) noexcept {
        // Fibonacci hashing: allocators give out addresses at regular distances.
        const auto mixed =
            static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(stream)) * 0x9E3779B97F4A7C15U;
        return shards_[mixed >> (64U - shard_bits)];
    }

    static constexpr unsigned shard_bits = 7;
    std::array<shard, std::size_t{1} << shard_bits> shards_;
};

/// Never destroyed: a host may finalise Python after static destructors began.
reference_table& kept = core::immortal<reference_table>();

/// BytesIO's own slots, the same functions in all interpreters. Whoever reaches a guard slot does so through
/// a type that was patched, under the same GIL, after these were set: relaxed loads are enough.
std::atomic<initproc> original_init{nullptr};
std::atomic<destructor> original_dealloc{nullptr};
std::atomic<protects_fn> protects_object{nullptr};

/// What the running self-test of this thread wants to see protected.
thread_local const PyObject* self_test_object = nullptr;

bool is_protected(PyObject* bytes) noexcept {
    return PyBytes_GET_SIZE(bytes) >= min_guarded_size &&
           (bytes == self_test_object || protects_object.load(std::memory_order_relaxed)(bytes));
}

/// Drops a reference that was taken out of the table; one of an interpreter that is gone is abandoned.
void release(kept_reference reference) {
    if (reference.object != nullptr && reference.interpreter == PyInterpreterState_Get()) {
        Py_DECREF(reference.object);
    }
}

/// The argument that BytesIO.__init__ would take as its initial value (borrowed), or null. A call with a
/// wrong keyword or too many arguments is judged by BytesIO itself, which then keeps nothing.
PyObject* initial_value(PyObject* args, PyObject* kwds) noexcept {
    if (PyTuple_GET_SIZE(args) != 0) {
        return PyTuple_GET_ITEM(args, 0);
    }
    PyObject* value = nullptr;
    if (kwds != nullptr) {
        Py_ssize_t position = 0;
        PyDict_Next(kwds, &position, nullptr, &value);
    }
    return value;
}

int init_with_protected(PyObject* self, PyObject* args, PyObject* kwds, PyObject* value) {
    // The table comes first, because it is what can fail. `value` is exact bytes, so no user code runs in
    // between.
    kept_reference previous;
    try {
        previous = kept.exchange(self, {value, PyInterpreterState_Get()});
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
        return -1;
    }
    Py_INCREF(value);
    const int result = original_init.load(std::memory_order_relaxed)(self, args, kwds);
    if (result == 0) {
        release(previous);
    } else {
        // A BytesIO that refuses (exported buffers, wrong call) still has its old buffer.
        kept.put_back(self, previous);
        Py_DECREF(value);
    }
    return result;
}

/// tp_init of BytesIO and what `BytesIO.__init__` calls.
int guard_init(PyObject* self, PyObject* args, PyObject* kwds) {
    PyObject* const value = initial_value(args, kwds);
    const bool exact = value != nullptr && PyBytes_CheckExact(value);
    if (exact && is_protected(value)) {
        return init_with_protected(self, args, kwds, value);
    }
    const int result = original_init.load(std::memory_order_relaxed)(self, args, kwds);
    // Only exact bytes are sure to have replaced the old buffer: `__init__()`, None and empty buffers leave
    // it there.
    if (result == 0 && exact && kept.may_hold(self)) {
        release(kept.take(self));
    }
    return result;
}

/// tp_dealloc of BytesIO; subclasses come here through subtype_dealloc, after `__del__` had its chance to
/// resurrect.
void guard_dealloc(PyObject* self) {
    kept_reference reference;
    if (kept.may_hold(self)) {
        // Before the original: once that has freed `self`, another BytesIO may have its address.
        reference = kept.take(self);
    }
    original_dealloc.load(std::memory_order_relaxed)(self);
    release(reference);
}

/// Sets `known` to `found` the first time; later only says whether they agree.
template <class Function> bool agree(std::atomic<Function>& known, Function found) noexcept {
    Function expected = nullptr;
    return known.compare_exchange_strong(expected, found) || expected == found;
}

/// The entry of `type`'s own dict for `__init__`, as the descriptor around a C slot; null if it is something
/// else. Borrowed: the (immutable) type keeps it.
PyWrapperDescrObject* init_descriptor(PyTypeObject* type) {
    const ref dict = ref::steal(PyType_GetDict(type));
    PyObject* const found = dict ? PyDict_GetItemString(dict.get(), "__init__") : nullptr;
    return found != nullptr && Py_IS_TYPE(found, &PyWrapperDescr_Type)
               ? reinterpret_cast<PyWrapperDescrObject*>(found)
               : nullptr;
}

/// Patches BytesIO itself, all or nothing. False: not the BytesIO this code knows, or somebody else's patch.
bool patch_base(PyTypeObject* type) {
    PyWrapperDescrObject* const descriptor = init_descriptor(type);
    if (descriptor == nullptr || type->tp_init == nullptr || type->tp_dealloc == nullptr ||
        descriptor->d_wrapped != reinterpret_cast<void*>(type->tp_init)) {
        return false;
    }
    if (type->tp_init == guard_init && type->tp_dealloc == guard_dealloc) {
        return true;
    }
    if (!agree(original_init, type->tp_init) || !agree(original_dealloc, type->tp_dealloc)) {
        return false;
    }
    type->tp_init = guard_init;
    type->tp_dealloc = guard_dealloc;
    // Explicit calls of BytesIO.__init__ and super().__init__ come through here, and so do the slots that
    // CPython works out anew for subclasses.
    descriptor->d_wrapped = reinterpret_cast<void*>(guard_init);
    return true;
}

/// Patches subclasses that copied the slots before the base was patched; later ones inherit the guard.
/// Throws std::bad_alloc; false with a Python error set if the classes cannot be listed.
bool patch_subclasses(PyObject* base) {
    std::vector<ref> pending;
    pending.push_back(ref::share(base));
    while (!pending.empty()) {
        const ref type = std::move(pending.back());
        pending.pop_back();
        // type.__subclasses__, not the class's own: a metaclass may have replaced that.
        const ref list = ref::steal(PyObject_CallMethod(reinterpret_cast<PyObject*>(&PyType_Type),
                                                        "__subclasses__", "O", type.get()));
        if (!list || !PyList_Check(list.get())) {
            return false;
        }
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list.get()); ++i) {
            PyObject* const item = PyList_GET_ITEM(list.get(), i);
            auto* const subclass = reinterpret_cast<PyTypeObject*>(item);
            if (subclass->tp_init == original_init.load(std::memory_order_relaxed)) {
                subclass->tp_init = guard_init;
            }
            if (subclass->tp_dealloc == original_dealloc.load(std::memory_order_relaxed)) {
                subclass->tp_dealloc = guard_dealloc;
            }
            pending.push_back(ref::share(item));
        }
    }
    return true;
}

/// Forgets what an earlier interpreter at this one's address left behind. The interpreter's own dict tells
/// them apart: it begins empty, while ids repeat when Python is initialised again. False with a Python error
/// set.
bool begin_interpreter() {
    PyInterpreterState* const interpreter = PyInterpreterState_Get();
    PyObject* const dict = PyInterpreterState_GetDict(interpreter); // borrowed
    if (dict == nullptr) {
        return false;
    }
    const ref key = ref::steal(PyUnicode_FromString("isthmus.bytesio_guard"));
    const int begun = key ? PyDict_Contains(dict, key.get()) : -1;
    if (begun == 0) {
        kept.forget(interpreter);
        return PyDict_SetItem(dict, key.get(), Py_True) == 0;
    }
    return begun > 0;
}

// The self-test: four ways through the guard, each over an object that nobody else holds.

using stream_maker = PyObject* (*)(PyObject* type, PyObject* value);
using stream_writer = bool (*)(PyObject* stream);

PyObject* make_by_call(PyObject* type, PyObject* value) {
    return PyObject_CallOneArg(type, value);
}

PyObject* make_by_init(PyObject* type, PyObject* value) {
    ref stream = ref::steal(PyObject_CallNoArgs(type));
    const ref done =
        ref::steal(stream ? PyObject_CallMethod(type, "__init__", "OO", stream.get(), value) : nullptr);
    return done ? stream.release() : nullptr;
}

bool write_by_method(PyObject* stream) {
    const ref written = ref::steal(PyObject_CallMethod(stream, "write", "y", "changed"));
    return static_cast<bool>(written);
}

bool write_by_buffer(PyObject* stream) {
    const ref exported = ref::steal(PyObject_CallMethod(stream, "getbuffer", nullptr));
    Py_buffer view;
    if (!exported || PyObject_GetBuffer(exported.get(), &view, PyBUF_WRITABLE) < 0) {
        return false;
    }
    std::memcpy(view.buf, "changed", 7);
    PyBuffer_Release(&view);
    return true;
}

/// True if a protected object, held by a BytesIO and the guard alone, survives a write into that BytesIO
/// unchanged, and if the guard lets go of it when the BytesIO dies.
bool write_leaves_object_alone(PyObject* type, stream_maker make, stream_writer write) {
    ref object = ref::steal(PyBytes_FromStringAndSize(nullptr, min_guarded_size));
    if (!object) {
        return false;
    }
    PyObject* const bytes = object.get();
    std::memset(PyBytes_AS_STRING(bytes), '.', static_cast<std::size_t>(min_guarded_size));
    self_test_object = bytes;
    ref stream = ref::steal(make(type, bytes));
    self_test_object = nullptr;
    if (!stream || Py_REFCNT(bytes) != 3) { // this function's, the BytesIO's, the guard's
        return false;
    }
    // Let go, as a caller does who gave his only reference to the BytesIO. The guard's keeps `bytes` valid.
    object = {};
    const bool written = write(stream.get());
    object = ref::share(bytes);
    const char* const data = PyBytes_AS_STRING(bytes);
    const bool intact = std::all_of(data, data + min_guarded_size, [](char c) { return c == '.'; });
    const bool copied = Py_REFCNT(bytes) == 2;
    stream = {};
    return written && intact && copied && Py_REFCNT(bytes) == 1;
}

bool self_test(PyObject* type) {
    return write_leaves_object_alone(type, make_by_call, write_by_method) &&
           write_leaves_object_alone(type, make_by_call, write_by_buffer) &&
           write_leaves_object_alone(type, make_by_init, write_by_method) &&
           write_leaves_object_alone(type, make_by_init, write_by_buffer);
}

bool install_in_current() {
    const ref module = ref::steal(PyImport_ImportModule("_io"));
    const ref type = ref::steal(module ? PyObject_GetAttrString(module.get(), "BytesIO") : nullptr);
    if (!type || !PyType_Check(type.get())) {
        return false;
    }
    return begin_interpreter() && patch_base(reinterpret_cast<PyTypeObject*>(type.get())) &&
           patch_subclasses(type.get()) && self_test(type.get());
}

} // namespace

bool install_bytesio_guard(protects_fn protects) {
    const bool installed = agree(protects_object, protects) && install_in_current();
    if (!installed) {
        // Not a guard that is of no use here: the interpreter would receive copies for ever.
        require(PyErr_ExceptionMatches(PyExc_MemoryError) != 0 ? -1 : 0);
        PyErr_Clear(); // without it the interpreter receives copies, and `doctor` says so
    }
    return installed;
}

std::size_t guarded_bytesio_count() noexcept {
    return kept.size();
}

} // namespace isthmus::py
