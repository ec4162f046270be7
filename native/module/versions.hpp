/// One process, one version of isthmus: another one would have a runtime, a memory and interpreters of its
/// own, and both would hook one CPython.
#pragma once

namespace isthmus::module {

/// While the module is executed in an interpreter; its GIL. Throws python_error, an ImportError that names
/// what is loaded already.
void refuse_other_versions();

} // namespace isthmus::module
