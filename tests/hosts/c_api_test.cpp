#include <Python.h>

#include "support.hpp"

#include <memory>
#include <vector>

using hosts::start;
using isthmus::bytes;
using isthmus::entered;
using isthmus::interpreter;
using isthmus::value;

namespace {

struct decref {
    void operator()(PyObject* o) const { Py_DECREF(o); }
};
using object = std::unique_ptr<PyObject, decref>;

object in_main(const char* name) {
    return object(Py_XNewRef(PyDict_GetItemString(PyModule_GetDict(PyImport_AddModule("__main__")), name)));
}

} // namespace

TEST(c_api, objects_become_values_and_back) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("class Kept: pass\nkept = Kept()");
    const entered scope(in);
    const object list(isthmus::to_object(std::vector<value>{1, "two", value(), 0.5}));
    ASSERT_TRUE(PyList_CheckExact(list.get()));
    EXPECT_EQ(PyLong_AsLong(PyList_GET_ITEM(list.get(), 0)), 1);
    EXPECT_EQ(isthmus::from_object(list.get()), value(std::vector<value>{1, "two", value(), 0.5}));
    EXPECT_TRUE(isthmus::from_object(in_main("kept").get()).is_object());
}

TEST(c_api, bytes_are_adopted_without_a_copy) {
    const isthmus::runtime runtime = start();
    interpreter in;
    bytes adopted;
    {
        const entered scope(in);
        const object made(PyBytes_FromStringAndSize(nullptr, 10'000'000));
        std::memset(PyBytes_AS_STRING(made.get()), 'x', 10'000'000);
        adopted = isthmus::from_object(made.get()).as<bytes>();
        EXPECT_TRUE(adopted.shared());
        const object again(isthmus::to_object(adopted));
        EXPECT_EQ(again.get(), made.get()) << "at home it is the original";
        const object view(PyMemoryView_FromObject(made.get()));
        EXPECT_EQ(isthmus::from_object(view.get()).as<isthmus::buffer>().size(), 10'000'000U);
    }
    in.close();
    EXPECT_EQ(adopted.view(), std::string(10'000'000, 'x'));
    EXPECT_EQ(hosts::stat("payload_bytes_copied"), 0);
}

TEST(c_api, what_can_not_cross_is_told_and_leaves_no_exception) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("import threading\n"
           "lock = [threading.Lock()]\n"
           "class Bad:\n"
           "    def __reduce_ex__(self, protocol): raise LookupError('no')\n"
           "bad = Bad()\n");
    const entered scope(in);
    try {
        static_cast<void>(isthmus::from_object(in_main("lock").get()));
        FAIL();
    } catch (const isthmus::not_shareable_error& error) {
        EXPECT_NE(std::string(error.what()).find("lock"), std::string::npos) << error.what();
    }
    EXPECT_EQ(PyErr_Occurred(), nullptr);
    try {
        static_cast<void>(isthmus::from_object(in_main("bad").get()));
        FAIL();
    } catch (const isthmus::python_error& error) {
        EXPECT_EQ(error.type(), "LookupError");
    }
    EXPECT_EQ(PyErr_Occurred(), nullptr);
    EXPECT_THROW(static_cast<void>(isthmus::to_object(value::of(value::dict{{std::vector{1}, 1}}))),
                 isthmus::not_shareable_error);
    EXPECT_EQ(PyErr_Occurred(), nullptr);
}

TEST(c_api, a_thread_in_no_interpreter_is_refused) {
    const isthmus::runtime runtime = start();
    EXPECT_THROW(static_cast<void>(isthmus::to_object(1)), isthmus::interpreter_error);
    EXPECT_THROW(static_cast<void>(isthmus::from_object(Py_None)), isthmus::interpreter_error);
}

TEST(c_api, in_an_interpreter_that_the_host_made_itself) {
    const isthmus::runtime runtime = start();
    const bytes large(std::string(1'000'000, 'x'));
    PyGILState_STATE const main = PyGILState_Ensure();
    PyThreadState* const outside = PyThreadState_Get();
    PyThreadState* made = nullptr;
    const PyInterpreterConfig config = {.use_main_obmalloc = 0,
                                        .allow_fork = 0,
                                        .allow_exec = 0,
                                        .allow_threads = 1,
                                        .allow_daemon_threads = 0,
                                        .check_multi_interp_extensions = 1,
                                        .gil = PyInterpreterConfig_OWN_GIL};
    ASSERT_EQ(PyStatus_Exception(Py_NewInterpreterFromConfig(&made, &config)), 0);
    {
        const object text(isthmus::to_object("text"));
        EXPECT_EQ(isthmus::from_object(text.get()).as<std::string>(), "text");
        const object same(isthmus::to_object(large));
        EXPECT_TRUE(isthmus::from_object(same.get()).as<bytes>().same_memory(large));
    }
    Py_EndInterpreter(made);
    PyThreadState_Swap(outside);
    PyGILState_Release(main);
}
