/// The file that `import isthmus._isthmus` loads. All code is in the shared libraries, which a C++ host may
/// have loaded before.
#include "module/state.hpp"

PyMODINIT_FUNC PyInit__isthmus();
PyMODINIT_FUNC PyInit__isthmus() {
    return PyModuleDef_Init(&isthmus::module::definition);
}
