#include "module/host_functions.hpp"

#include <isthmus/host.hpp>
#include <isthmus/python_error.hpp>

#include "module/state.hpp"

#include "crossing/crossing.hpp"

#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include "cxx/codec.hpp"

#include "core/immortal.hpp"

#include <algorithm>
#include <cxxabi.h>
#include <map>
#include <mutex>
#include <string>
#include <system_error>
#include <vector>

namespace isthmus {
namespace module {
namespace {

using py::guarded;
using py::ref;
using py::require;

struct host_entry {
    detail::host_function call;
    int arity; ///< -1: any number
};

/// By name; shared, so that one that is replaced lives until its calls have ended.
struct host_table {
    std::mutex lock; ///< a leaf
    std::map<std::string, std::shared_ptr<host_entry>, std::less<>> entries;
};

host_table& table() noexcept {
    return core::immortal<host_table>();
}

std::shared_ptr<host_entry> find_entry(std::string_view name) {
    host_table& all = table();
    const std::lock_guard guard(all.lock);
    const auto found = all.entries.find(name);
    return found != all.entries.end() ? found->second : nullptr;
}

/// How a call went, told without a GIL.
struct call_outcome {
    core::message result;
    PyObject* kind = nullptr; ///< a class that all interpreters share; null: it went well
    std::string builtin;      ///< the name of the class instead
    std::string text;
};

/// In the handler of the exception.
void tell_exception(call_outcome& of) {
    try {
        throw;
    } catch (const python_error& error) {
        of.kind = PyExc_RuntimeError; // should it be no builtin one
        of.builtin = error.type();
        of.text = error.message();
    } catch (const type_error& error) {
        of = {{}, PyExc_TypeError, {}, error.what()};
    } catch (const not_shareable_error& error) {
        of = {{}, PyExc_TypeError, {}, error.what()};
    } catch (const timeout_error& error) {
        of = {{}, PyExc_TimeoutError, {}, error.what()};
    } catch (const closed_error& error) {
        of = {{}, PyExc_EOFError, {}, error.what()};
    } catch (const std::bad_alloc&) {
        of.kind = PyExc_MemoryError;
    } catch (const std::system_error& error) {
        of = {{}, PyExc_OSError, {}, error.what()};
    } catch (const std::out_of_range& error) {
        of = {{}, PyExc_IndexError, {}, error.what()};
    } catch (const std::invalid_argument& error) {
        of = {{}, PyExc_ValueError, {}, error.what()};
    } catch (const std::domain_error& error) {
        of = {{}, PyExc_ValueError, {}, error.what()};
    } catch (const std::exception& error) {
        of = {{}, PyExc_RuntimeError, {}, error.what()};
    } catch (...) {
        of = {{}, PyExc_RuntimeError, {}, "the host threw something that is no std::exception"};
    }
}

std::vector<value> values_of(std::vector<core::message>& messages) {
    std::vector<value> made;
    made.reserve(messages.size());
    for (core::message& each : messages) {
        made.push_back(detail::decode(std::move(each)));
    }
    return made;
}

/// Without the GIL. All that the host throws is told, but for what ends the thread (H16). `arguments` are the
/// caller's, who drops them under the GIL: a buffer of an exporter in this interpreter is then released
/// before the call returns.
call_outcome call_out(const host_entry& entry, std::vector<core::message>& messages,
                      std::vector<value>& arguments) {
    call_outcome told;
    try {
        arguments = values_of(messages);
        told.result = detail::encode(entry.call(arguments));
    } catch (const abi::__forced_unwind&) {
        throw;
    } catch (...) {
        try {
            tell_exception(told);
        } catch (const std::bad_alloc&) {
            told.kind = PyExc_MemoryError;
        }
    }
    return told;
}

[[noreturn]] void raise(const call_outcome& told) {
    PyObject* kind = told.kind;
    ref found;
    if (!told.builtin.empty()) {
        const ref builtins = require(PyImport_ImportModule("builtins"));
        found = py::optional_attribute(builtins.get(), told.builtin.c_str());
        if (found && PyExceptionClass_Check(found.get()) != 0) {
            kind = found.get();
        }
    }
    const std::string text =
        kind == told.kind && !told.builtin.empty() ? told.builtin + ": " + told.text : told.text;
    const ref said =
        require(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
    PyErr_SetObject(kind, said.get());
    throw py::python_error{};
}

std::string_view name_in(PyObject* given) {
    Py_ssize_t size = 0;
    if (!PyUnicode_Check(given)) {
        py::fail(PyExc_TypeError, "the name of a host function is str, not %.200s", Py_TYPE(given)->tp_name);
    }
    const char* const utf8 = PyUnicode_AsUTF8AndSize(given, &size);
    return utf8 != nullptr ? std::string_view(utf8, static_cast<std::size_t>(size))
                           : throw py::python_error{};
}

std::shared_ptr<host_entry> entry_for(PyObject* name, Py_ssize_t given) {
    std::shared_ptr<host_entry> entry = find_entry(name_in(name));
    if (entry == nullptr) {
        py::fail(PyExc_AttributeError, "the host has no function %R any more", name);
    }
    if (entry->arity >= 0 && entry->arity != given) {
        py::fail(PyExc_TypeError, "host.%U() takes %d positional arguments but %zd were given", name,
                 entry->arity, given);
    }
    return entry;
}

} // namespace

PyObject* host_call(PyObject* module, PyObject* const* args, Py_ssize_t count) {
    return guarded<PyObject*>(nullptr, [&] {
        core::interpreter& here = *state_of(module).here;
        if (count == 0) {
            py::fail(PyExc_TypeError, "host_call() misses the name of a function");
        }
        const std::shared_ptr<host_entry> entry = entry_for(args[0], count - 1);
        std::vector<core::message> messages;
        messages.reserve(static_cast<std::size_t>(count));
        for (Py_ssize_t i = 1; i < count; ++i) {
            messages.push_back(crossing::encode(here, args[i]));
        }
        std::vector<value> arguments;
        const std::uint64_t began = py::life();
        PyThreadState* const saved = PyEval_SaveThread();
        call_outcome told = call_out(*entry, messages, arguments);
        py::reattach(saved, began);
        arguments.clear();
        py::drain(here);
        if (told.kind != nullptr) {
            raise(told);
        }
        return crossing::decode(here, std::move(told.result)).release();
    });
}

PyObject* host_has(PyObject*, PyObject* name) {
    return guarded<PyObject*>(nullptr,
                              [&] { return PyBool_FromLong(find_entry(name_in(name)) != nullptr ? 1 : 0); });
}

PyObject* host_names(PyObject*, PyObject*) {
    return guarded<PyObject*>(nullptr, [&] {
        std::vector<std::string> names;
        {
            host_table& all = table();
            const std::lock_guard guard(all.lock);
            for (const auto& [name, entry] : all.entries) {
                names.push_back(name);
            }
        }
        ref made = require(PyList_New(0));
        for (const std::string& each : names) {
            const ref text =
                require(PyUnicode_FromStringAndSize(each.data(), static_cast<Py_ssize_t>(each.size())));
            require(PyList_Append(made.get(), text.get()));
        }
        return made.release();
    });
}

} // namespace module

namespace {

/// ASCII alone, so that no table of Unicode's is needed; not the name of something that every module has.
bool is_plain_identifier(std::string_view name) noexcept {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    return !name.empty() && !digit(name.front()) && !name.starts_with("__") &&
           std::ranges::all_of(name, [&](char c) { return letter(c) || digit(c); });
}

} // namespace

void detail::register_host_function(std::string_view name, host_function f, int arity) {
    if (!is_plain_identifier(name)) {
        throw std::invalid_argument(
            "the name of a host function is a Python identifier of ASCII characters, not '" +
            std::string(name) + "'");
    }
    // After the lock is gone this is the one that was replaced.
    auto entry = std::make_shared<module::host_entry>(module::host_entry{std::move(f), arity});
    module::host_table& all = module::table();
    const std::lock_guard guard(all.lock);
    all.entries[std::string(name)].swap(entry);
}

bool remove_host_function(std::string_view name) {
    std::shared_ptr<module::host_entry> removed; // destroyed after the lock
    module::host_table& all = module::table();
    const std::lock_guard guard(all.lock);
    const auto found = all.entries.find(name);
    if (found == all.entries.end()) {
        return false;
    }
    removed = std::move(found->second);
    all.entries.erase(found);
    return true;
}

} // namespace isthmus
