#include <isthmus/error.hpp>

#include <gtest/gtest.h>

TEST(error, every_one_is_an_isthmus_error_with_its_text) {
    try {
        throw isthmus::closed_error("nothing more");
    } catch (const isthmus::error& caught) {
        EXPECT_STREQ(caught.what(), "nothing more");
    }
}
