/// The methods of `Interpreter` that run code in it.
#pragma once

#include "cpython/refs.hpp"

namespace isthmus::module {

PyObject* interpreter_run(PyObject* o, PyObject* args, PyObject* shared);
PyObject* interpreter_exec(PyObject* o, PyObject* code);
PyObject* interpreter_call(PyObject* o, PyObject* args, PyObject* keywords);
PyObject* interpreter_post(PyObject* o, PyObject* args, PyObject* keywords);
PyObject* interpreter_run_in_thread(PyObject* o, PyObject* args, PyObject* shared);
PyObject* interpreter_call_in_thread(PyObject* o, PyObject* args, PyObject* keywords);
PyObject* interpreter_prepare_main(PyObject* o, PyObject* args, PyObject* keywords);
PyObject* interpreter_reset_main(PyObject* o, PyObject*);
PyObject* interpreter_interrupt(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords);

inline constexpr char run_doc[] =
    "run($self, source, /, **shared)\n--\n\n"
    "Run source text in its `__main__` on this thread, after setting the given names there (PEP 554).\n\n"
    "An uncaught exception whose class is exactly a builtin one deriving from Exception, or "
    "KeyboardInterrupt, arrives as itself,\n"
    "caused by an ExecutionFailed with the remote traceback; all else arrives as ExecutionFailed. "
    "InterpreterError if it is\n"
    "running, closed or the current one; NotShareableError if a value can't cross (nothing has run then).";
inline constexpr char exec_doc[] =
    "exec($self, code, /)\n--\n\n"
    "Run `code` in its `__main__` (PEP 734): source text, a code object, or a function without arguments, "
    "closure and result.\n\n"
    "A function crosses by code, with the globals it refers to as for `call`. Every uncaught exception "
    "arrives as ExecutionFailed.";
inline constexpr char call_doc[] =
    "call($self, callable, /, *args, **kwargs)\n--\n\n"
    "Call `callable` in the interpreter on this thread and return the result.\n\n"
    "A function that can be imported crosses by name. Others, all of a script's `__main__` and lambdas among "
    "them, cross by code:\n"
    "they run with the globals of its `__main__`, where the globals they refer to are put if absent. "
    "Arguments and result may be\n"
    "anything that can be sent; NotShareableError names what can't, and nothing has run if it is an "
    "argument. Every uncaught\n"
    "exception arrives as ExecutionFailed. InterpreterError if it is running, closed or the current one.";
inline constexpr char post_doc[] =
    "post($self, callable, /, *args, **kwargs)\n--\n\n"
    "Ask the interpreter to call `callable` at its next safe point, without waiting: a call aimed at one "
    "interpreter. Return a PendingCall.\n\n"
    "Callable and arguments cross as for `call`. It runs under the interpreter's GIL in a thread of its own: "
    "between two bytecodes of\n"
    "what runs there, at once while that waits or nothing runs. Posted calls of one interpreter run one "
    "after "
    "another, those of one\n"
    "thread in their order. None is lost, any number may wait. NotShareableError if the callable or an "
    "argument "
    "can't cross,\n"
    "InterpreterError if the interpreter is closed, RuntimeError if no thread can be started for it.";
inline constexpr char call_in_thread_doc[] =
    "call_in_thread($self, callable, /, *args, **kwargs)\n--\n\n"
    "As `call`, in a new thread; return the started threading.Thread.\n\n"
    "What can't cross is refused here; the thread discards the result, and an exception goes to "
    "threading.excepthook.\n"
    "The interpreter stays open until the thread has ended.";
inline constexpr char run_in_thread_doc[] =
    "run_in_thread($self, source, /, **shared)\n--\n\n"
    "As `run`, in a new thread; return the started threading.Thread. See `call_in_thread`.";
inline constexpr char interrupt_doc[] =
    "interrupt($self, exc=None)\n--\n\n"
    "Raise the builtin exception class `exc`, KeyboardInterrupt unless given, in the run, exec or call that "
    "is under way in the interpreter,\n"
    "whoever began it; if there is none, in the posted call that runs.\n\n"
    "Returns at once: True if there was one to interrupt. It is raised at its next bytecode, in its wait if "
    "it waits in\n"
    "isthmus, or at the end of its code; C code such as `time.sleep`, and another interpreter that it runs, "
    "finish first. One that another\n"
    "exception ends before is not interrupted, and no later one is. Of two exceptions that were not raised "
    "yet the later one is. Called by the code it "
    "is raised in, it raises `exc`.\n"
    "Runs that the standard library began are not seen. TypeError if `exc` is anything else or needs "
    "arguments; InterpreterNotFoundError\n"
    "if the interpreter is closed; RuntimeError if no thread can be started to do it.";
inline constexpr char prepare_main_doc[] =
    "prepare_main($self, ns=None, /, **kw)\n--\n\n"
    "Set names in its `__main__` to any values that can be sent; all of them or none. `ns` is a mapping or "
    "pairs.\n"
    "ValueError if there are no names.";
inline constexpr char reset_main_doc[] =
    "reset_main($self)\n--\n\n"
    "Clear its `__main__` to what it was in the new interpreter. InterpreterError if it is running.";

} // namespace isthmus::module
